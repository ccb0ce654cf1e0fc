import CKernels
import CoppiceTensors

/// How fast this machine reads memory with all threads: the limit of decoding, where every weight is read once a token.
public enum ReadBandwidth {
    /// Bytes per second, the best of several readings of a block larger than any cache.
    ///
    /// - Parameter byteCount: rounded up to whole tasks; at least a megabyte.
    public static func measure(byteCount: Int = 512 << 20, repetitions: Int = 5) -> Double {
        let count = max(1 << 20, byteCount) / MemoryLayout<Float>.stride
        var block = Tensor(uninitialized: [count])
        block.withMutableElements(Float.self) { $0.initialize(repeating: 1) }
        let clock = ContinuousClock()
        return block.withElements(Float.self) { elements in
            var best = 0.0
            for _ in 0..<max(1, repetitions) {
                var sum = 0.0
                let time = clock.measure { sum = coppice_read_sum(elements.baseAddress, count) }
                precondition(sum > 0)
                best = max(best, Double(count * MemoryLayout<Float>.stride) / (time / .seconds(1)))
            }
            return best
        }
    }
}
