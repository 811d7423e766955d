/** Bytes of /index.yaml per second in each form, beside nginx with one worker and the same bytes in a file. */
import { isPresent } from '../test/stand/programs.ts'
import { checkIndex } from './answer-check.ts'
import { type Bench, openWarmProduct } from './bench.ts'
import { decode, fetchForm, type IndexForm, indexForms } from './index-forms.ts'
import { openNginx } from './nginx.ts'
import { fetchFirstIndex, type Product } from './product.ts'
import { compare, type Must, type Row, unmeasured } from './table.ts'
import { runWrk } from './wrk.ts'

const MUST: Must = { of: 'ratio', atLeast: 1 }
const MB = 1_000_000

export async function measureIndexThroughput(bench: Bench): Promise<readonly Row[]> {
  const missing = ['nginx', 'wrk'].find((program) => !isPresent(program))
  if (missing !== undefined) {
    return [unmeasured(bench.size, 'index throughput', `skipped: ${missing} is not installed`, MUST)]
  }
  await using product = await openWarmProduct(bench)
  await fetchFirstIndex(product)
  const rows: Row[] = []
  for (const form of indexForms) rows.push(await measure(bench, product, form))
  return rows
}

async function measure(bench: Bench, product: Product, form: IndexForm): Promise<Row> {
  const figure = `index throughput, ${form.format}, ${form.encoding}`
  const offered = await fetchForm(product.url, form)
  if (offered === undefined) return unmeasured(bench.size, figure, 'not offered', MUST)
  checkIndex(decode(offered), bench.registry.versions())
  const { name, bytes, contentType, encoding } = offered
  const contentEncoding = encoding === 'identity' ? {} : { contentEncoding: encoding }
  await using nginx = await openNginx([{ name, bytes, contentType, ...contentEncoding }])
  const ours: number[] = []
  const theirs: number[] = []
  const perSecond = async (url: string): Promise<number> =>
    ((await runWrk({ url, headers: form.headers })).rate * bytes.byteLength) / MB
  for (let run = 0; run < bench.runs; run++) {
    theirs.push(await perSecond(`${nginx.url}/${name}`))
    ours.push(await perSecond(`${product.url}/index.yaml`))
  }
  return compare({
    versions: bench.size,
    figure: `${figure} (${(bytes.byteLength / MB).toFixed(2)} MB)`,
    unit: 'MB/s',
    product: ours,
    counterpart: { name: 'nginx', values: theirs },
    peakMiB: [product.peakMiB()],
    must: MUST,
  })
}
