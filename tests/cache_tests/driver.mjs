// The tests of a checkout of http-tests/cache-tests, run against one cache: node driver.mjs CHECKOUT BASE AT_ONCE ONLY.
// Prints {ID: [kind, verdict, message]} as JSON. ONLY is a pattern, empty for all.
import { pathToFileURL } from 'node:url'

const [checkout, base, atOnce, only] = process.argv.slice(2)
const module = path => import(pathToFileURL(`${checkout}/${path}`))
const { default: suites } = await module('tests/index.mjs')
const { runTests, getResults } = await module('test-engine/client/runner.mjs')
const { determineTestResult, resultTypes } = await module('test-engine/lib/results.mjs')

const names = new Map(Object.entries(resultTypes).map(([name, type]) => [type, name]))
const chosen = suites.map(suite => ({ ...suite, tests: suite.tests.filter(test => new RegExp(only).test(test.id)) }))
await runTests(chosen, false, base, Number(atOnce))
const results = getResults()
const told = {}
for (const suite of chosen) {
  for (const test of suite.tests) {
    if (test.browser_only) continue
    const result = results[test.id]
    const verdict = names.get(determineTestResult(suites, test.id, only ? { ...results, ...passed(suites, results) } : results))
    told[test.id] = [test.kind ?? 'required', verdict, Array.isArray(result) ? result[1] : '']
  }
}
console.log(JSON.stringify(told))

// What a test depends on counts as passed where only some were asked for.
function passed (suites, results) {
  return Object.fromEntries(suites.flatMap(suite => suite.tests).filter(test => !(test.id in results)).map(test => [test.id, true]))
}
