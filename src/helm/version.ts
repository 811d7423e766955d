/**
 * Chart versions as Helm reads them: SemVer 2.0.0 taken leniently (Masterminds/semver v3 `NewVersion`): a leading `v`,
 * missing minor and patch, and leading zeros in the three numbers are allowed; anything else invalid is refused.
 */

import { compareText } from '../lib/compare-text.ts'

export interface ChartVersion {
  /** Major, minor, patch: digits without leading zeros. Strings, because Helm compares them up to 2^64. */
  readonly numbers: readonly [string, string, string]
  /** Identifiers of the prerelease, none for a release. */
  readonly prerelease: readonly string[]
}

const PATTERN =
  /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/
const NUMERIC = /^\d+$/
const MAX_UINT64 = '18446744073709551615'
/** Longer than this Helm refuses to parse (Masterminds/semver v3.4, MaxVersionLen). */
const MAX_LENGTH = 256

/** The parts that order versions, or undefined when Helm would refuse `text`. Build metadata does not order. */
export function tryParseVersion(text: string): ChartVersion | undefined {
  if (text.length > MAX_LENGTH) return undefined
  const match = PATTERN.exec(text)
  if (match === null) return undefined
  const numbers: [string, string, string] = [trimZeros(match[1]), trimZeros(match[2]), trimZeros(match[3])]
  if (numbers.some((number) => number.length >= MAX_UINT64.length && compareDigits(number, MAX_UINT64) > 0))
    return undefined
  const prerelease = match[4]?.split('.') ?? []
  if (prerelease.some((identifier) => NUMERIC.test(identifier) && /^0./.test(identifier))) return undefined
  return { numbers, prerelease }
}

/** Negative when `a` is older than `b` (SemVer 2.0.0, item 11). */
export function compareVersions(a: ChartVersion, b: ChartVersion): number {
  for (const part of [0, 1, 2] as const) {
    const order = compareDigits(a.numbers[part], b.numbers[part])
    if (order !== 0) return order
  }
  if (a.prerelease.length === 0 || b.prerelease.length === 0) return b.prerelease.length - a.prerelease.length
  const shared = Math.min(a.prerelease.length, b.prerelease.length)
  for (let i = 0; i < shared; i++) {
    const order = compareIdentifiers(a.prerelease[i] ?? '', b.prerelease[i] ?? '')
    if (order !== 0) return order
  }
  return a.prerelease.length - b.prerelease.length
}

function compareIdentifiers(a: string, b: string): number {
  const aIsNumber = NUMERIC.test(a)
  const bIsNumber = NUMERIC.test(b)
  if (aIsNumber && bIsNumber) return compareDigits(a, b)
  if (aIsNumber !== bIsNumber) return aIsNumber ? -1 : 1
  return compareText(a, b)
}

function compareDigits(a: string, b: string): number {
  return a.length - b.length || compareText(a, b)
}

function trimZeros(digits = '0'): string {
  return digits.length > 1 && digits.startsWith('0') ? digits.replace(/^0+(?=\d)/, '') : digits
}
