import CoppiceTensors

/// SplitMix64: small, seeded, the same on every machine.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 0x1234_5678 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// About normal: the sum of twelve uniform numbers, less six.
    mutating func normal() -> Float {
        (0..<12).reduce(Float(-6)) { sum, _ in sum + Float.random(in: 0..<1, using: &self) }
    }

    mutating func matrix(_ rows: Int, _ columns: Int, scale: Float = 1) -> Tensor {
        Tensor((0..<(rows * columns)).map { _ in normal() * scale }, shape: [rows, columns])
    }
}

/// A matrix of small whole numbers: many ties.
func coarseMatrix(_ rows: Int, _ columns: Int, levels: Int, seed: UInt64) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return Tensor(
        (0..<(rows * columns)).map { _ in Float(Int.random(in: 0..<levels, using: &generator)) },
        shape: [rows, columns])
}
