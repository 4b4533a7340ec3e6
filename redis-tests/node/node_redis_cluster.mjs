// node-redis' cluster client against the nodes given as host:port.
import assert from 'node:assert/strict';
import { createCluster } from 'redis';
import { step, until } from './steps.mjs';

const rootNodes = process.argv.slice(2).map((place) => ({ url: `redis://${place}` }));

async function connect(options) {
  const cluster = createCluster({ rootNodes, ...options });
  cluster.on('error', () => {});
  await cluster.connect();
  return cluster;
}

for (const RESP of [2, 3]) {
  const cluster = await connect({ defaults: { RESP } });

  await step(`strings (RESP${RESP})`, async () => {
    assert.equal(cluster.masters.length, 1);
    assert.equal(await cluster.set('k', 'v', { EX: 100 }), 'OK');
    assert.equal(await cluster.get('k'), 'v');
    assert.equal(await cluster.get('missing'), null);
    assert.equal(await cluster.set(`n${RESP}`, 41), 'OK');
    assert.equal(await cluster.incr(`n${RESP}`), 42);
    await cluster.mSet([['{t}a', '1'], ['{t}b', '2']]);
    assert.deepEqual(await cluster.mGet(['{t}a', '{t}missing', '{t}b']), ['1', null, '2']);
    await assert.rejects(cluster.incr('k'), /value is not an integer or out of range/);
  });

  await step(`pipelining and multi (RESP${RESP})`, async () => {
    await Promise.all(Array.from({ length: 500 }, (_, i) => cluster.set(`p:${i}`, String(i))));
    const values = await Promise.all(Array.from({ length: 500 }, (_, i) => cluster.get(`p:${i}`)));
    assert.deepEqual(values, Array.from({ length: 500 }, (_, i) => String(i)));
    assert.deepEqual(await cluster.multi().set('{m}', '1').incr('{m}').get('{m}').exec(), ['OK', 2, '2']);
  });

  await step(`reads at replicas (RESP${RESP})`, async () => {
    const readers = await connect({ useReplicas: true, defaults: { RESP } });
    assert.equal(readers.replicas.length, 2);
    await cluster.set('read', `at a replica ${RESP}`);
    for (let i = 0; i < 10; i++) {
      await until(async () => (await readers.get('read')) === `at a replica ${RESP}`, 'it is there');
    }
    await readers.close();
  });

  await cluster.close();
}

console.log('done');
process.exit(0);
