/** `helm repo add` over the index as JSON, beside the same over YAML. */
import { openHelm } from '../test/stand/helm.ts'
import { type Bench, openWarmProduct } from './bench.ts'
import { fetchFirstIndex, hasOption } from './product.ts'
import { compare, type Must, type Row, unmeasured } from './table.ts'

const HELM = '4.2.3'
const FIGURE = `helm ${HELM} repo add, JSON`
const MUST: Must = { of: 'ratio', atMost: 0.35 }

export async function measureHelmRepoAdd(bench: Bench): Promise<readonly Row[]> {
  if (!hasOption(bench.executable, '--index-format')) {
    return [unmeasured(bench.size, FIGURE, 'not offered: the index has one form only', MUST)]
  }
  await using json = await openWarmProduct(bench, ['--index-format=json'])
  await using yaml = await openWarmProduct(bench, ['--index-format=yaml'])
  for (const product of [json, yaml]) await fetchFirstIndex(product)
  const asJson: number[] = []
  const asYaml: number[] = []
  for (let run = 0; run < bench.runs; run++) {
    asYaml.push(await timeRepoAdd(yaml.url))
    asJson.push(await timeRepoAdd(json.url))
  }
  return [
    compare({
      versions: bench.size,
      figure: FIGURE,
      unit: 'ms',
      product: asJson,
      counterpart: { name: 'YAML', values: asYaml },
      peakMiB: [json.peakMiB()],
      must: MUST,
    }),
  ]
}

/** A home of its own each time: Helm keeps what it has read. */
async function timeRepoAdd(url: string): Promise<number> {
  await using helm = await openHelm(HELM)
  const startedAt = performance.now()
  await helm.succeed('repo', 'add', 'bench', url)
  const ms = performance.now() - startedAt
  const { stdout } = await helm.succeed('search', 'repo', 'bench/app-0', '--output=json')
  if (!stdout.includes('"bench/app-0"')) throw new Error(`helm does not find app-0 after repo add: ${stdout}`)
  return ms
}
