/**
 * Node's environment, with a temporary directory for each worker: tests look at what a program leaves in it, and another one's files are none of that. Set here,
 * since what a test sees as its environment is a copy, and Node's own modules do not look at it. Short, for the paths of sockets.
 */
const { chmodSync, mkdirSync } = require('node:fs');
const { join } = require('node:path');
const { TestEnvironment } = require('jest-environment-node');

const name = `unit-${process.env.JEST_WORKER_ID}`;
const outer = process.env.TMPDIR ?? '/tmp';
const own = outer.endsWith(`/${name}`) ? outer : join(outer, name);

module.exports = class extends TestEnvironment {
  constructor(...given) {
    mkdirSync(own, { recursive: true });
    // As the one above it: some tests run programs as other users.
    chmodSync(own, 0o1777);
    process.env.TMPDIR = own;
    super(...given);
  }
};
