/** A registry full of charts, with Chart.yaml as long as those of real projects. */
import { CHART_LAYER_TYPE, type ChartDescription, packDirectly, pushArtifact } from './charts.ts'
import type { Registry } from './registry.ts'

/** What docker-registry takes at once without getting slower. */
const CONCURRENCY = 8

const DEPENDENCIES = [
  { name: 'common', version: '2.x.x', repository: 'oci://registry.example.com/charts', tags: ['base'] },
  { name: 'database', version: '~15.1', repository: 'https://charts.example.com', condition: 'database.enabled' },
]

/** Pushes `charts` charts with `versions` versions each, in repositories `charts/app-0` …; returns what was pushed. */
export async function pushManyCharts(
  registry: Registry,
  { charts, versions }: { readonly charts: number; readonly versions: number },
): Promise<readonly ChartDescription[]> {
  const all = Array.from({ length: charts * versions }, (_, i) => describeChart(i % charts, Math.floor(i / charts)))
  const waiting = all.values()
  const lane = async (): Promise<void> => {
    for (const chart of waiting) {
      await pushArtifact(registry, `charts/${chart.name}`, chart.version, {
        config: chart,
        layers: [{ mediaType: CHART_LAYER_TYPE, bytes: await packDirectly(chart) }],
        annotations: { 'org.opencontainers.image.created': '2026-03-01T12:00:00Z' },
      })
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, lane))
  return all
}

/** Chart.yaml of the `version`th version of `app-<chart>`. */
export function describeChart(chart: number, version: number): ChartDescription {
  const name = `app-${chart}`
  return {
    apiVersion: 'v2',
    name,
    version: `${1 + Math.floor(version / 100)}.${Math.floor(version / 10) % 10}.${version % 10}`,
    appVersion: `v${version}`,
    kubeVersion: '>=1.23.0-0',
    type: 'application',
    description: `${name} keeps the ledger of a small shop: orders, stock, invoices and what the tax office wants to know.`,
    home: `https://charts.example.com/${name}`,
    icon: `https://charts.example.com/${name}/icon.svg`,
    sources: [`https://git.example.com/shop/${name}`, `https://git.example.com/shop/${name}-chart`],
    keywords: ['ledger', 'shop', 'orders', 'stock', 'yes', '1.0'],
    maintainers: [
      { name: 'Ada Lovelace', email: 'ada@example.com', url: 'https://example.com/ada' },
      { name: 'Charles Babbage', email: 'charles@example.com' },
    ],
    annotations: {
      'artifacthub.io/license': 'Apache-2.0',
      'artifacthub.io/changes': `- kind: fixed\n  description: Totals of order ${version} are rounded once\n- kind: added\n  description: "A second ledger: #2"\n`,
      'artifacthub.io/images': `- name: ${name}\n  image: registry.example.com/shop/${name}:v${version}\n`,
    },
    // Helm renders a chart only when its dependencies are packed with it: every fifth stands alone and can be rendered.
    ...(chart % 5 !== 0 && { dependencies: DEPENDENCIES }),
  }
}
