/** By code unit, never by locale: the order is part of the contract. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
