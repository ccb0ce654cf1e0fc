/// The order in which windows of a token stream are visited: a pure function of the seed and the sample's number.
///
/// Each epoch visits every window once, in an order of its own, and cuts the stream at an offset of its own, so that
/// the model does not always see the same first tokens. Nothing is stored, so a resumed run needs the step only, and
/// the order is the same on every machine.
///
/// The permutation is a four-round Feistel network on the smallest even number of bits that holds the windows, walked
/// until it falls inside (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002, section 3: at most four
/// rounds of it on average).
public struct WindowOrder: Sendable, Hashable {
    /// Tokens that a window predicts; it spans one more.
    public let length: Int
    /// Windows of an epoch.
    public let windowsPerEpoch: Int
    public let seed: UInt64
    private let hasOffset: Bool
    private let halfBits: UInt64

    /// - Precondition: `tokenCount > length > 0`.
    public init(tokenCount: Int, length: Int, seed: UInt64) {
        precondition(length > 0 && tokenCount > length, "\(tokenCount) tokens hold no window of \(length + 1)")
        self.length = length
        self.seed = seed
        // Every offset below `length` must leave room for all windows; a stream too short for that gets none.
        let withOffset = (tokenCount - length) / length
        hasOffset = withOffset > 0
        windowsPerEpoch = hasOffset ? withOffset : 1
        var bits: UInt64 = 1
        while 1 << (2 * bits) < UInt64(windowsPerEpoch) { bits += 1 }
        halfBits = bits
    }

    /// The index of the first token of a sample's window, counting samples from 0 through all epochs. O(1).
    public func start(ofSample sample: Int) -> Int {
        let (epoch, position) = sample.quotientAndRemainder(dividingBy: windowsPerEpoch)
        let key = Self.mix(seed ^ Self.mix(UInt64(epoch) &+ 1))
        let offset = hasOffset ? Int(Self.mix(key ^ 0x6F66_6673_6574) % UInt64(length)) : 0
        return offset + permuted(position, key: key) * length
    }

    private func permuted(_ position: Int, key: UInt64) -> Int {
        let mask: UInt64 = (1 << halfBits) - 1
        var value = UInt64(position)
        repeat {
            var (left, right) = (value >> halfBits, value & mask)
            for round in 0..<4 as Range<UInt64> {
                (left, right) = (right, left ^ (Self.mix(key &+ right &+ (round << 58)) & mask))
            }
            value = left << halfBits | right
        } while value >= UInt64(windowsPerEpoch)
        return Int(value)
    }

    /// The finalizer of SplitMix64 (Steele et al., 2014): every input bit changes every output bit.
    static func mix(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
