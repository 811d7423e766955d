/** The link that writes each attempt to the log, at level debug. */

import { describeError } from '../errors.ts'
import type { Log } from '../telemetry/log.ts'
import { describeCall, type Send } from './http-call.ts'

export function withCallLog(send: Send, log: Log): Send {
  if (!log.isEnabled('debug')) return send
  return async (call) => {
    const start = performance.now()
    const ms = () => Math.round(performance.now() - start)
    try {
      const response = await send(call)
      log.debug('registry call', { call: describeCall(call), status: response.status, ms: ms() })
      return response
    } catch (error) {
      log.debug('registry call', { call: describeCall(call), error: describeError(error), ms: ms() })
      throw error
    }
  }
}
