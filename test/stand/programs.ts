/** The programs of the machine that tests run; a test whose program is missing says so and is skipped. */

/** Debian puts some of them outside an ordinary user's PATH. */
const SEARCH_PATH = `${Bun.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`

/** Absolute path of a program, or undefined when the machine lacks it. */
export function which(name: string): string | undefined {
  return Bun.which(name, { PATH: SEARCH_PATH }) ?? undefined
}

export const DOCKER_REGISTRY = which('docker-registry')
export const HTPASSWD = which('htpasswd')
export const OPENSSL = which('openssl')
export const GPG = which('gpg')
export const GPGCONF = which('gpgconf')
export const BUILDAH = which('buildah')

/**
 * Name of a test that needs programs: `skipped: htpasswd is not installed — NAME` when one is missing, else NAME.
 * Use together with `test.skipIf(!isPresent(…))`.
 */
export function nameFor(name: string, ...programs: readonly string[]): string {
  const missing = programs.filter((program) => which(program) === undefined)
  if (missing.length === 0) return name
  return `skipped: ${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} not installed — ${name}`
}

export function isPresent(...programs: readonly string[]): boolean {
  return programs.every((program) => which(program) !== undefined)
}

/** The path of a program that the caller has already made sure of; @throws when it is missing after all. */
export function need(program: string): string {
  const path = which(program)
  if (path === undefined) throw new Error(`Cannot run ${program}: it is not installed`)
  return path
}
