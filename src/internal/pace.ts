/**
 * How long who comes now would have to wait, by how fast answers came of late.
 *
 * Only of meaning while there is more to do than can be done: else answers come as fast as they are asked for.
 */

/** Measured over this part of the time that a request has, and by so many answers at least. */
const partOfPatience = 0.1
const fewestAnswers = 16

export class Pace {
  private measuring = false
  private since = 0
  private answers = 0
  private inTime = 0
  private inTimeMillis = 0
  /** Of an answer, from one to the next; 0 until it is known. */
  private millisPerAnswer = 0
  /** What answers took that came in time, on the average; infinite where none did, and 0 until it is known. */
  tookMillis = 0

  /** An attempt was answered, somehow. */
  answered(sentAt: number): void {
    if (!this.measuring) return
    this.answers++
    this.inTime++
    this.inTimeMillis += performance.now() - sentAt
  }

  /** An attempt was answered that nobody waits for any more. */
  answeredLate(): void {
    this.answers++
  }

  /** From now on, unless it is measured already. */
  measure(): void {
    if (this.measuring) return
    this.measuring = true
    this.millisPerAnswer = 0
    this.tookMillis = 0
    this.begin()
  }

  /** There is less to do again. */
  forget(): void {
    this.measuring = false
  }

  /** Until so many are answered, for one who has `patienceMillis`; 0 while it is not known. */
  expectedMillis(count: number, patienceMillis: number): number {
    const elapsed = performance.now() - this.since
    if (this.answers >= fewestAnswers && elapsed >= patienceMillis * partOfPatience) {
      this.millisPerAnswer = elapsed / this.answers
      this.tookMillis = this.inTime === 0 ? Infinity : this.inTimeMillis / this.inTime
      this.begin()
    }
    return this.millisPerAnswer * count
  }

  private begin(): void {
    this.since = performance.now()
    this.answers = 0
    this.inTime = 0
    this.inTimeMillis = 0
  }
}
