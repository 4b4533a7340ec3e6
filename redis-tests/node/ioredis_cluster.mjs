// ioredis' Cluster against the nodes given as host:port.
import assert from 'node:assert/strict';
import { Cluster } from 'ioredis';
import { restartOfServer, step, until } from './steps.mjs';

const nodes = process.argv.slice(2).map((place) => {
  const [host, port] = place.split(':');
  return { host, port: Number(port) };
});
const clients = [];

function connect(options = {}) {
  const cluster = new Cluster(nodes, { clusterRetryStrategy: () => 50, ...options });
  cluster.on('error', () => {}); // connections that are refused during the fault
  clients.push(cluster);
  return cluster;
}

const cluster = connect();

await step('connect', async () => {
  assert.equal(await cluster.ping(), 'PONG');
  await until(() => cluster.nodes('master').length === 1 && cluster.nodes('slave').length === 2, 'all nodes are known');
});

await step('strings', async () => {
  assert.equal(await cluster.set('k', 'v', 'EX', 100), 'OK');
  assert.equal(await cluster.get('k'), 'v');
  assert.equal(await cluster.get('missing'), null);
  assert.equal(await cluster.incrby('n', 42), 42);
  assert.equal(await cluster.mset('{t}a', 1, '{t}b', 2), 'OK');
  assert.deepEqual(await cluster.mget('{t}a', '{t}missing', '{t}b'), ['1', null, '2']);
  await assert.rejects(cluster.incr('k'), /value is not an integer or out of range/);
});

await step('pipeline', async () => {
  const pipeline = cluster.pipeline();
  for (let i = 0; i < 500; i++) pipeline.set(`{p}:${i}`, i).get(`{p}:${i}`);
  const results = await pipeline.exec();
  results.forEach(([error, value], i) => assert.deepEqual([error, value], [null, i % 2 ? String((i - 1) / 2) : 'OK']));
  assert.equal(results.length, 1000);
});

await step('auto-pipelining', async () => {
  const automatic = connect({ enableAutoPipelining: true });
  const values = await Promise.all(Array.from({ length: 500 }, (_, i) => automatic.get(`{p}:${i}`)));
  assert.deepEqual(values, Array.from({ length: 500 }, (_, i) => String(i)));
});

await step('multi', async () => {
  const replies = await cluster.multi().set('{m}', 1).incr('{m}').get('{m}').exec();
  assert.deepEqual(replies, [[null, 'OK'], [null, 2], [null, '2']]);
});

await step('reads at replicas', async () => {
  const readers = connect({ scaleReads: 'slave' });
  await cluster.set('read', 'at a replica');
  for (let i = 0; i < 10; i++) await until(async () => (await readers.get('read')) === 'at a replica', 'it is there');
});

await step('another leader', async () => {
  await cluster.set('before', 'the fault');
  await restartOfServer();
  await until(async () => (await cluster.get('before')) === 'the fault', 'the client has found the new leader');
  await until(async () => (await cluster.set('after', 'it')) === 'OK', 'it takes writes');
});

clients.forEach((client) => client.disconnect());
console.log('done');
process.exit(0);
