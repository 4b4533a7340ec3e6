// ioredis against the server on the port given.
import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import { restartOfServer, step, until } from './steps.mjs';

const port = Number(process.argv[2]);
const redis = new Redis(port, '127.0.0.1', { connectionName: 'ioredis-test', maxRetriesPerRequest: null });
redis.on('error', () => {}); // a connection that is refused during the restart

await step('connect', async () => {
  await redis.flushall();
  assert.equal(await redis.ping(), 'PONG');
  assert.equal(await redis.client('GETNAME'), 'ioredis-test');
});

await step('strings', async () => {
  assert.equal(await redis.set('k', 'v'), 'OK');
  assert.equal(await redis.get('k'), 'v');
  assert.equal(await redis.get('missing'), null);
  assert.equal(await redis.set('k', 'w', 'EX', 100, 'NX'), null);
  assert.equal(await redis.set('k', 'w', 'PX', 100000, 'XX', 'GET'), 'v');
  assert.ok((await redis.ttl('k')) > 90);
  assert.equal(await redis.incrby('n', 41), 41);
  assert.equal(await redis.incr('n'), 42);
  assert.deepEqual(await redis.mget('k', 'missing', 'n'), ['w', null, '42']);
  const binary = Buffer.from([0, 255, 13, 10, 1]);
  await redis.set('binary', binary);
  assert.deepEqual(await redis.getBuffer('binary'), binary);
  await assert.rejects(redis.incr('k'), /value is not an integer or out of range/);
  await assert.rejects(redis.call('NOSUCH', 'x'), /unknown command/);
});

await step('pipeline', async () => {
  const pipeline = redis.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.set(`p:${i}`, i).get(`p:${i}`);
  const results = await pipeline.exec();
  assert.equal(results.length, 2000);
  results.forEach(([error, value], i) => assert.deepEqual([error, value], [null, i % 2 ? String((i - 1) / 2) : 'OK']));
});

await step('multi', async () => {
  assert.deepEqual(await redis.multi().set('m', 1).incr('m').get('m').exec(), [[null, 'OK'], [null, 2], [null, '2']]);
  await redis.watch('m');
  const other = new Redis(port);
  await other.set('m', 100);
  assert.equal(await redis.multi().incr('m').exec(), null);
  await other.quit();
});

await step('scan stream', async () => {
  const seen = new Set();
  for await (const keys of redis.scanStream({ match: 'p:*', count: 100 })) keys.forEach((key) => seen.add(key));
  assert.equal(seen.size, 1000);
});

await step('auto-pipelining', async () => {
  const automatic = new Redis(port, { enableAutoPipelining: true });
  const values = await Promise.all(Array.from({ length: 500 }, (_, i) => automatic.get(`p:${i}`)));
  assert.deepEqual(values, Array.from({ length: 500 }, (_, i) => String(i)));
  await automatic.quit();
});

await step('monitor', async () => {
  const monitor = await redis.monitor();
  const seen = new Promise((resolve) => monitor.on('monitor', (time, args) => args[1] === 'seen' && resolve(args)));
  await redis.echo('seen');
  assert.deepEqual((await seen).map((word) => word.toLowerCase()), ['echo', 'seen']);
  monitor.disconnect();
});

const subscriber = redis.duplicate();
subscriber.on('error', () => {});
const messages = [];
subscriber.on('message', (...message) => messages.push(message));
subscriber.on('pmessage', (...message) => messages.push(message));

await step('publish/subscribe', async () => {
  assert.equal(await subscriber.subscribe('a', 'b', 'c'), 3);
  assert.equal(await subscriber.psubscribe('n*'), 4);
  assert.equal(await subscriber.unsubscribe('b'), 3);
  assert.equal(await redis.publish('a', 'one'), 1);
  assert.equal(await redis.publish('b', 'nobody'), 0);
  assert.equal(await redis.publish('news', 'two'), 1);
  await until(() => messages.length >= 2, 'the messages are there');
  assert.deepEqual(messages.splice(0), [['a', 'one'], ['n*', 'news', 'two']]);
  assert.deepEqual((await redis.pubsub('CHANNELS')).sort(), ['a', 'c']);
});

await step('reconnect', async () => {
  await redis.set('before', 'restart');
  await restartOfServer();
  await until(async () => (await redis.get('before')) === 'restart', 'the client is connected again');
  assert.equal(await redis.client('GETNAME'), 'ioredis-test');
  await until(async () => (await redis.publish('news', 'again')) === 1, 'the subscriber is subscribed again');
  await until(() => messages.length >= 1, 'the message is there');
  assert.deepEqual(messages, [['n*', 'news', 'again']]);
  await subscriber.quit();
});

assert.equal(await redis.quit(), 'OK');
console.log('done');
process.exit(0);
