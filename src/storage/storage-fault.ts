/** Failures of the embedded registry's directory, in the terms of the product. */

import { ChartRepoError } from '../errors.ts'
import { diskFaultCode } from './disk-fault.ts'

const FULL = ['ENOSPC', 'EDQUOT']

/** `error` as STORAGE_FULL or STORAGE_DENIED when the disk did it, else as it is. */
export function toStorageFault(error: unknown): unknown {
  const code = diskFaultCode(error)
  if (code === undefined || error instanceof ChartRepoError) return error
  return FULL.includes(code)
    ? new ChartRepoError('STORAGE_FULL', `The directory of the registry is full (${code})`, { cause: error })
    : new ChartRepoError('STORAGE_DENIED', `The directory of the registry cannot be used (${code})`, { cause: error })
}

/** What `work` gives. @throws STORAGE_FULL, STORAGE_DENIED, or what else `work` fails with */
export async function withStorageFaults<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw toStorageFault(error)
  }
}

/** What `work` reads of a layout, of `what`. @throws LAYOUT_DAMAGED when the disk does not let it, or what else `work` fails with */
export async function withReadFaults<T>(work: () => Promise<T>, what = 'The image layout'): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const code = diskFaultCode(error)
    if (code === undefined || error instanceof ChartRepoError) throw error
    throw new ChartRepoError('LAYOUT_DAMAGED', `${what} cannot be read (${code})`, { cause: error })
  }
}
