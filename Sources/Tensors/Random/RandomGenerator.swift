import CKernels

/// A counter-based random number generator: Philox4x32-10.
///
/// A value of this type is a key and a counter. Draws advance the counter, so two copies give the same numbers, and
/// saving a copy saves the state of a run. Numbers are the same bits on every machine, in every kernel variant and
/// for every number of threads.
///
/// ```swift
/// var generator = RandomGenerator(seed: 42)
/// let weights = Tensor.normal([64, 32], standardDeviation: 0.02, using: &generator)
/// var forDropout = generator.split()      // independent from here on
/// ```
///
/// Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
public struct RandomGenerator: RandomNumberGenerator, Sendable, Hashable, Codable {
    /// The Philox key: generators with different keys are independent.
    public let key: UInt64
    /// One of 2³² independent sequences of the same key.
    public let stream: UInt32
    /// The next block of the sequence. A block has 128 bits; there are 2⁶⁴ of them.
    public private(set) var position: UInt64

    /// A generator at the start of a sequence.
    ///
    /// - Parameters:
    ///   - seed: any number; similar seeds give unrelated sequences.
    ///   - stream: selects one of the independent sequences of the seed, such as one per layer or per worker.
    public init(seed: UInt64, stream: UInt32 = 0) {
        self.init(key: seed, stream: stream, position: 0)
    }

    init(key: UInt64, stream: UInt32, position: UInt64) {
        self.key = key
        self.stream = stream
        self.position = position
    }

    /// 64 random bits. O(1).
    public mutating func next() -> UInt64 {
        let words = block(attempt: 0)
        position &+= 1
        return UInt64(words.0) | UInt64(words.1) << 32
    }

    /// A generator that is independent of this one and of all others split from it. O(1).
    ///
    /// Splitting advances this generator, so that the next split is another one.
    public mutating func split() -> RandomGenerator {
        // Draws count their attempts from zero: the last attempt is never theirs.
        let words = block(attempt: .max)
        position &+= 1
        return RandomGenerator(key: UInt64(words.0) | UInt64(words.1) << 32, stream: words.2, position: 0)
    }

    /// The state as the kernels take it.
    var state: coppice_random_state { coppice_random_state(key: key, position: position, stream: stream) }

    /// Skips what a kernel has used.
    mutating func advance(blocks: UInt64) { position &+= blocks }

    private func block(attempt: UInt32) -> (UInt32, UInt32, UInt32, UInt32) {
        let counter = (
            UInt32(truncatingIfNeeded: position), UInt32(truncatingIfNeeded: position >> 32), stream, attempt
        )
        let keyWords = (UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32))
        var result: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
        withUnsafeBytes(of: counter) { counter in
            withUnsafeBytes(of: keyWords) { key in
                withUnsafeMutableBytes(of: &result) { result in
                    coppice_philox4x32(
                        counter.baseAddress?.assumingMemoryBound(to: UInt32.self),
                        key.baseAddress?.assumingMemoryBound(to: UInt32.self),
                        result.baseAddress?.assumingMemoryBound(to: UInt32.self))
                }
            }
        }
        return result
    }
}
