// node:assert: npm's assert, which is Node's own.
export default () => {
  const assert = require("assert");
  return { assert, "assert/strict": assert.strict, isDeepStrictEqual: require("assert/build/internal/util/comparisons").isDeepStrictEqual };
};
