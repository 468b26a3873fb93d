// Answers a case a line, as tests/support/cache_oracles.py has them: node cache_semantics.cjs MODULE.
const { createInterface } = require('node:readline')
const CachePolicy = require(process.argv[2])

let moment = 0
class Policy extends CachePolicy {
  now () { return moment }
}

createInterface({ input: process.stdin }).on('line', line => {
  const { status, said, first, later, now, then } = JSON.parse(line)
  moment = now
  const policy = new Policy({ method: 'GET', url: '/page', headers: first }, { status, headers: said }, { cacheHeuristic: 0 })
  moment = then
  if (!policy.storable()) return console.log('ask')
  const { response, revalidation } = policy.evaluateRequest({ method: 'GET', url: '/page', headers: later })
  console.log(response === undefined ? 'ask' : revalidation === undefined ? 'serve' : 'serve_and_refresh')
})
