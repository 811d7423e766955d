/** Where figures come from: they mean nothing without it. */
import { arch, cpus, release, totalmem } from 'node:os'
import { which } from '../test/stand/programs.ts'

export function describeMachine(executable: string): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown'
  return [
    `${new Date().toISOString().slice(0, 10)}: ${askVersion(executable, '--version')}`,
    `${cpus().length} cores of ${model} (${arch()}), ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}`,
    `Bun ${Bun.version}, ${askVersion('nginx', '-v')}, ${askVersion('docker-registry', '--version').replace(/^docker-registry .* /, 'docker-registry ')}, ${askVersion('wrk', '-v').replace(/ \[.*/, '')}`,
  ].join('\n')
}

/** The first line a program says of itself. */
function askVersion(program: string, flag: string): string {
  const path = program.includes('/') ? program : which(program)
  if (path === undefined) return `no ${program}`
  const { stdout, stderr } = Bun.spawnSync([path, flag])
  return `${stdout}${stderr}`.split('\n')[0]?.trim() ?? program
}
