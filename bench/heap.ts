/**
 * What is allocated on V8's heap, collected since or not: what the heap grew by between its collections.
 */
import { GCProfiler, getHeapStatistics } from "node:v8"

/** Bytes from now until it is called. What lies outside of the heap, as the memory of a `Buffer`, is not in it. */
export const countAllocated = (): () => number => {
  const profiler = new GCProfiler()
  let from = getHeapStatistics().used_heap_size
  profiler.start()
  return () => {
    const end = getHeapStatistics().used_heap_size
    let allocated = 0
    for (const { afterGC, beforeGC } of profiler.stop()?.statistics ?? []) {
      allocated += beforeGC.heapStatistics.usedHeapSize - from
      from = afterGC.heapStatistics.usedHeapSize
    }
    return allocated + end - from
  }
}
