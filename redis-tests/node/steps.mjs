// What both programs share: named steps, and the pause in which the test restarts the server.
import readline from 'node:readline';

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export async function step(name, body) {
  await body();
  console.log(`ok ${name}`);
}

// Asks the test to restart the server, and returns when it has.
export async function restartOfServer() {
  console.log('restart');
  const { value } = await lines.next();
  if (value !== 'restarted') throw new Error(`expected "restarted", got ${value}`);
}

export async function until(condition, what) {
  const deadline = Date.now() + 20000;
  for (;;) {
    try {
      if (await condition()) return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
