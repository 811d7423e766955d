/**
 * A process of its own that takes the lock of a directory, and says whether it got it: `taken`, `held`, or the code of
 * the error. Arguments: `hold` to keep it until a signal comes, `try`, or `try-as-nobody`; the file of the lock.
 */
import { errorCode } from '../../src/lib/error-code.ts'
import { DirectoryLock } from '../../src/storage/directory-lock.ts'

const NOBODY = 65_534
const [mode, path = ''] = process.argv.slice(2)
// Rights do not stop root. Everything is loaded by now, so that nobody needs to read the sources.
if (mode === 'try-as-nobody' && process.getuid?.() === 0) {
  process.setgid?.(NOBODY)
  process.setuid?.(NOBODY)
}
let lock: DirectoryLock | undefined
try {
  lock = DirectoryLock.tryTake(path)
  console.log(lock === undefined ? 'held' : 'taken')
} catch (error) {
  console.log(errorCode(error))
}
if (mode === 'hold') await new Promise((resolve) => setTimeout(resolve, 2 ** 30, lock))
