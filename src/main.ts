/** The program: arguments, environment, signals, exit codes, listening. The only file that touches `process`. */

import './production.ts'
import { writeSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { version } from '../package.json'
import { compose } from './compose.ts'
import { type Configuration, readConfiguration } from './config/configuration.ts'
import { renderHelp } from './config/options.ts'
import { describeError, isChartRepoError } from './errors.ts'
import { errorCode } from './lib/error-code.ts'
import { readSmallFile } from './lib/small-file.ts'
import { limits } from './limits.ts'
import { createLog, errorFields, type Log } from './telemetry/log.ts'

const STDERR = 2
const EXIT_USAGE = 2
const EXIT_FAILURE = 1

async function main(): Promise<void> {
  const result = readConfiguration({
    args: process.argv.slice(2),
    environment: process.env,
    readFile: (path) => readSmallFile(path, limits.maxConfigFileBytes),
    platformCacheDir: platformCacheDir(),
    isTerminal: process.stderr.isTTY,
  })
  if (result.kind === 'help') return void process.stdout.write(renderHelp())
  if (result.kind === 'version') return void process.stdout.write(`oci-chartrepo ${version}\n`)
  if (result.kind === 'faults') return fail(EXIT_USAGE, result.faults)
  await serve(result.configuration)
}

async function serve(configuration: Configuration): Promise<void> {
  const log = createLog({ ...configuration.log, write: writeLog })
  const composition = await compose(configuration, log, version).catch((error: unknown) => {
    if (!isChartRepoError(error, 'CONFIG_INVALID')) throw error
    fail(EXIT_USAGE, error.message.split('\n'))
  })
  if (composition === undefined) return
  const { app } = composition
  const { host, port } = configuration.listen
  try {
    // `reusePort` would let a second process take half of the requests instead of failing.
    app.listen({
      port,
      ...(host !== undefined && { hostname: host }),
      development: false,
      reusePort: false,
      idleTimeout: 60,
      // Bodies are read as they come, against bounds of their own; a blob has none but the disk.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    })
  } catch (error) {
    await composition.close()
    return fail(EXIT_FAILURE, [`cannot listen on ${host ?? 'all addresses'}, port ${port}: ${describeError(error)}`])
  }
  const { server } = app
  if (server === null) throw new Error('The server did not start')
  const shownHost = host === undefined ? 'localhost' : host.includes(':') ? `[${host}]` : host
  process.stdout.write(
    `oci-chartrepo ${version} serves the charts of ${composition.description} at http://${shownHost}:${server.port}\n`,
  )
  composition.start()
  installHandlers(log, async () => {
    // Accepts nothing new at once; what is under way has its time, and what is not done by then is cut off.
    await Promise.race([app.stop(), Bun.sleep(limits.shutdownGraceMs)])
    await server.stop(true)
    await composition.close()
  })
}

/** A log that cannot be written must not stop the server, and there is nowhere left to say that it cannot. */
function writeLog(line: string): void {
  try {
    writeSync(STDERR, line)
  } catch (error) {
    if (errorCode(error) === '') throw error
  }
}

function installHandlers(log: Log, stop: () => Promise<void>): void {
  let stopping = false
  const onSignal = (signal: string) => {
    if (stopping) process.exit(EXIT_FAILURE)
    stopping = true
    log.info('stopping', { signal })
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error('could not stop cleanly', errorFields(error))
        process.exit(EXIT_FAILURE)
      },
    )
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  // One promise nobody waited for must not take the server down: it is a fault of this program, and said to be one.
  const onStray = (error: unknown) => {
    log.error('unexpected fault', { ...errorFields(error), stack: error instanceof Error ? error.stack : undefined })
  }
  process.on('unhandledRejection', onStray)
  process.on('uncaughtException', onStray)
}

function fail(exitCode: number, faults: readonly string[]): void {
  for (const fault of faults) process.stderr.write(`oci-chartrepo: ${fault}\n`)
  process.exitCode = exitCode
}

/** Where this platform keeps what can be made again. */
function platformCacheDir(): string {
  const home = homedir()
  const fallback = process.platform === 'darwin' ? join(home, 'Library', 'Caches') : join(home, '.cache')
  const base = process.env['XDG_CACHE_HOME'] || (home === '' || home === '/' ? tmpdir() : fallback)
  return join(base, 'oci-chartrepo')
}

main().catch((error: unknown) => {
  process.stderr.write(`oci-chartrepo: cannot start: ${describeError(error)}\n`)
  process.exitCode = EXIT_FAILURE
})
