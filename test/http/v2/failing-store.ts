/** A registry that fails whatever it is asked for, and remembers what that was. */
import type { RegistryStore } from '../../../src/oci/registry-store.ts'

export interface FailingStore {
  readonly store: RegistryStore
  /** The methods that were called, in order. */
  readonly calls: string[]
}

/** `failure` is thrown as each method throws: by rejecting, or where it is synchronous or gives one after the other. */
export function failingStore(failure: unknown): FailingStore {
  const calls: string[] = []
  const get = (_target: object, name: string) => () => {
    calls.push(name)
    if (name === 'uploadProgress' || name === 'listReferrers') throw failure
    return Promise.reject(failure)
  }
  return { store: new Proxy({}, { get }) as RegistryStore, calls }
}
