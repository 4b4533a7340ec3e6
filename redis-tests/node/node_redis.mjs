// node-redis against the server on the port given, in RESP2 and RESP3.
import assert from 'node:assert/strict';
import { createClient, RESP_TYPES } from 'redis';
import { restartOfServer, step, until } from './steps.mjs';

const port = Number(process.argv[2]);

async function connect(RESP) {
  const client = createClient({ url: `redis://127.0.0.1:${port}`, name: 'node-redis-test', RESP });
  client.on('error', () => {}); // a connection that is refused during the restart
  return client.connect();
}

async function session(RESP) {
  const client = await connect(RESP);
  const named = (name) => `${name} (RESP${RESP})`;

  await step(named('strings'), async () => {
    await client.flushAll();
    assert.equal(await client.ping(), 'PONG');
    assert.equal(await client.clientGetName(), 'node-redis-test');
    assert.equal(await client.set('k', 'v', { EX: 100, NX: true }), 'OK');
    assert.equal(await client.set('k', 'w', { GET: true, KEEPTTL: true }), 'v');
    assert.equal(await client.get('k'), 'w');
    assert.equal(await client.get('missing'), null);
    assert.ok((await client.ttl('k')) > 90);
    assert.equal(await client.incrBy('n', 42), 42);
    assert.deepEqual(await client.mGet(['k', 'missing', 'n']), ['w', null, '42']);
    assert.equal(await client.incrByFloat('f', 1.5), '1.5');
    assert.deepEqual(await client.bitField('b', [{ operation: 'SET', encoding: 'u8', offset: 0, value: 7 }]), [0]);
    assert.equal(await client.lcs('k', 'k'), 'w');
    assert.equal(await client.exists(['k', 'n', 'missing']), 2);
    await assert.rejects(client.incr('k'), /value is not an integer or out of range/);
    const binary = Buffer.from([0, 255, 13, 10, 1]);
    await client.set('binary', binary);
    const typed = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    assert.deepEqual(await typed.get('binary'), binary);
  });

  await step(named('multi and watch'), async () => {
    assert.deepEqual(await client.multi().set('m', '1').incr('m').get('m').exec(), ['OK', 2, '2']);
    const other = await connect(RESP);
    await client.watch('m');
    await other.set('m', '100');
    await assert.rejects(client.multi().incr('m').exec(), /watched keys/i);
    await other.close();
  });

  await step(named('pipelining'), async () => {
    await Promise.all(Array.from({ length: 1000 }, (_, i) => client.set(`p:${i}`, String(i))));
    const values = await Promise.all(Array.from({ length: 1000 }, (_, i) => client.get(`p:${i}`)));
    assert.deepEqual(values, Array.from({ length: 1000 }, (_, i) => String(i)));
  });

  await step(named('scan iterator'), async () => {
    const seen = new Set();
    for await (const keys of client.scanIterator({ MATCH: 'p:*', COUNT: 100 })) keys.forEach((key) => seen.add(key));
    assert.equal(seen.size, 1000);
  });

  await step(named('replies with structure'), async () => {
    assert.equal((await client.configGet('maxclients')).maxclients, '10000');
    assert.match(await client.info('server'), /redis_version:7\.0\.15/);
    assert.equal((await client.commandInfo(['get']))[0].arity, 2);
    assert.ok((await client.clientList()).length >= 1);
  });

  await step(named('publish/subscribe'), async () => {
    const subscriber = await connect(RESP);
    const messages = [];
    const listener = (message, channel) => messages.push([channel, message]);
    await subscriber.subscribe(['a', 'b'], listener);
    await subscriber.pSubscribe('n*', listener);
    await subscriber.sSubscribe('s', listener);
    await subscriber.unsubscribe('b');
    if (RESP === 3) assert.equal(await subscriber.get('k'), 'w');
    assert.equal(await client.publish('a', 'one'), 1);
    assert.equal(await client.publish('b', 'nobody'), 0);
    assert.equal(await client.publish('news', 'two'), 1);
    assert.equal(await client.sPublish('s', 'three'), 1);
    await until(() => messages.length >= 3, 'the messages are there');
    assert.deepEqual(messages, [['a', 'one'], ['news', 'two'], ['s', 'three']]);
    assert.deepEqual(await client.pubSubChannels(), ['a']);
    assert.equal(await client.pubSubNumPat(), 1);
    await subscriber.close();
    await until(async () => (await client.publish('a', 'x')) === 0, 'closing ended the subscription');
  });

  await step(named('reconnect'), async () => {
    await client.set('before', 'restart');
    await restartOfServer();
    await until(async () => (await client.get('before')) === 'restart', 'the client is connected again');
    assert.equal(await client.clientGetName(), 'node-redis-test');
  });

  await client.close();
}

await session(2);
await session(3);
console.log('done');
process.exit(0);
