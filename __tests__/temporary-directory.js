/** A temporary directory for each worker: tests look at what a program leaves in it, and another one's files are none of that. Short, for sockets. */
const { chmodSync, mkdirSync } = require('node:fs');
const { join } = require('node:path');

const own = join(process.env.TMPDIR ?? '/tmp', `unit-${process.env.JEST_WORKER_ID}`);
if (!process.env.TMPDIR?.endsWith(`/unit-${process.env.JEST_WORKER_ID}`)) {
  mkdirSync(own, { recursive: true });
  // As the one above it: some tests run programs as other users.
  chmodSync(own, 0o1777);
  process.env.TMPDIR = own;
}
