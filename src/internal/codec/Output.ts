/**
 * The bytes of a request while they are written.
 */

const initialSize = 4096
/** What one large value made the buffer grow to is not kept for the small ones that follow. */
const largestKept = 1 << 20

export class Output {
  bytes: Buffer
  /** Of the same bytes; for 64 bits it is ten times faster than the Buffer's own methods. */
  view: DataView
  offset = 0

  constructor() {
    this.bytes = Buffer.allocUnsafeSlow(initialSize)
    this.view = viewOf(this.bytes)
  }

  /** Makes room for `length` more bytes and gives the place where they begin. */
  advance(length: number): number {
    const start = this.offset
    const end = start + length
    if (end > this.bytes.length) this.grow(end)
    this.offset = end
    return start
  }

  int(value: number): void {
    const start = this.advance(4)
    this.view.setInt32(start, value)
  }

  /** Writes the length of what was written since, in the `[int]` kept free for it. */
  closeLength(at: number): void {
    this.view.setInt32(at, this.offset - at - 4)
  }

  take(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.offset))
  }

  private grow(size: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(size, this.bytes.length * 2))
    this.bytes.copy(grown, 0, 0, this.bytes.length)
    this.bytes = grown
    this.view = viewOf(grown)
  }
}

const viewOf = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

let idle: Output | undefined

/**
 * One buffer serves all requests, one after the other. A value's own code may run while it is written (a getter, an
 * iterator) and bind a statement of its own: that one gets another buffer.
 */
export const withOutput = (write: (output: Output) => void): Buffer => {
  const output = idle ?? new Output()
  idle = undefined
  output.offset = 0
  try {
    write(output)
    return output.take()
  } finally {
    if (output.bytes.length <= largestKept) idle = output
  }
}
