/** Where a configuration is read from in tests: nothing of the machine. */
import {
  type Configuration,
  type ConfigurationResult,
  type RegistryStorage,
  readConfiguration,
} from '../../src/config/configuration.ts'

export interface Given {
  readonly environment?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, string>>
  readonly isTerminal?: boolean
}

export function readGiven(
  args: readonly string[],
  { environment = {}, files = {}, isTerminal = false }: Given = {},
): ConfigurationResult {
  return readConfiguration({
    args,
    environment,
    readFile: (path) => {
      const content = files[path]
      if (content === undefined) throw new Error('cannot be read (ENOENT)')
      return content
    },
    platformCacheDir: '/platform/cache',
    isTerminal,
  })
}

/** @throws with the faults when there are any. */
export function configurationOf(args: readonly string[], given?: Given): Configuration {
  const result = readGiven(args, given)
  if (result.kind === 'configuration') return result.configuration
  throw new Error(result.kind === 'faults' ? result.faults.join('\n') : result.kind)
}

/** The registry that was configured; @throws when it is the embedded one. */
export function registryOf(args: readonly string[], given?: Given): RegistryStorage {
  const { storage } = configurationOf(args, given)
  if (storage.kind === 'registry') return storage
  throw new Error(`The storage is ${storage.kind}`)
}

/** @throws when there are none. */
export function faultsOf(args: readonly string[], given?: Given): readonly string[] {
  const result = readGiven(args, given)
  if (result.kind === 'faults') return result.faults
  throw new Error(`There was no fault: ${JSON.stringify(result)}`)
}
