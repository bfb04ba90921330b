const { default: Sequencer } = require('@jest/test-sequencer');

/** Files run in the order of their names: the lab's tests share one server, and the first of them starts from an empty one. */
module.exports = class extends Sequencer {
  sort(tests) {
    return [...tests].sort((a, b) => (a.path < b.path ? -1 : 1));
  }
};
