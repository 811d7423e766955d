/** What was measured, as rows of one Markdown table; a figure stands beside its counterpart of the same run. */

export interface Must {
  /** What is held against the limit: the ratio, the figure itself, or the peak of resident memory. */
  readonly of: 'ratio' | 'figure' | 'peak'
  readonly atMost?: number
  readonly atLeast?: number
}

export interface Row {
  readonly versions: number
  readonly figure: string
  readonly product: string
  readonly counterpart: string
  readonly ratio: string
  readonly must: string
  readonly peak: string
}

export interface Comparison {
  readonly versions: number
  readonly figure: string
  readonly unit: string
  /** One value per run. */
  readonly product: readonly number[]
  /** As many as `product`, measured right before or after; absent where a figure stands for itself. */
  readonly counterpart?: { readonly name: string; readonly values: readonly number[] }
  readonly peakMiB?: readonly number[]
  readonly must?: Must
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** The ratio is the median of the runs' own ratios: runs that were next to each other had the same machine. */
export function compare(comparison: Comparison): Row {
  const { versions, figure, unit, product, counterpart, peakMiB, must } = comparison
  const ratio = counterpart && median(product.map((value, run) => value / (counterpart.values[run] ?? Number.NaN)))
  const peak = peakMiB && Math.max(...peakMiB)
  return {
    versions,
    figure,
    product: `${format(median(product))} ${unit}`,
    counterpart: counterpart ? `${format(median(counterpart.values))} ${unit} (${counterpart.name})` : '',
    ratio: ratio === undefined ? '' : ratio.toFixed(ratio < 0.1 ? 4 : 2),
    must: must ? describeVerdict(must, { ratio, figure: median(product), peak }, unit) : '',
    peak: peak === undefined ? '' : `${peak.toFixed(0)} MiB`,
  }
}

/** A row without figures: a feature that is not offered, a program that is not installed, a measurement that failed. */
export function unmeasured(versions: number, figure: string, reason: string, must?: Must, unit = ''): Row {
  return {
    versions,
    figure,
    product: reason,
    counterpart: '',
    ratio: '',
    must: must ? describeMust(must, unit) : '',
    peak: '',
  }
}

export function renderTable(rows: readonly Row[]): string {
  const head = ['versions', 'figure', 'oci-chartrepo', 'counterpart', 'ratio', 'must', 'peak RSS']
  return [renderLine(head), renderLine(head.map(() => '---')), ...rows.map(renderRow)].join('\n')
}

export function renderRow({ versions, figure, product, counterpart, ratio, must, peak }: Row): string {
  return renderLine([versions.toLocaleString('en'), figure, product, counterpart, ratio, must, peak])
}

function renderLine(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function describeMust({ of, atMost, atLeast }: Must, unit: string): string {
  const subject = of === 'ratio' ? 'ratio ' : of === 'peak' ? 'RSS ' : ''
  const suffix = of === 'ratio' ? '' : of === 'peak' ? ' MiB' : ` ${unit}`
  return atMost === undefined ? `${subject}≥ ${atLeast}${suffix}` : `${subject}≤ ${atMost}${suffix}`
}

function describeVerdict(
  must: Must,
  measured: { readonly [K in Must['of']]: number | undefined },
  unit: string,
): string {
  const value = measured[must.of] ?? Number.NaN
  const isMet = value <= (must.atMost ?? Number.POSITIVE_INFINITY) && value >= (must.atLeast ?? 0)
  return `${describeMust(must, unit)}: ${isMet ? 'met' : '**missed**'}`
}

function format(value: number): string {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)
}
