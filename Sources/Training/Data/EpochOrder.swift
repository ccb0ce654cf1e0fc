/// The order in which the members of a set are visited, epoch after epoch: a pure function of the seed and the sample's
/// number.
///
/// Each epoch visits every member once, in an order of its own. Nothing is stored, so a resumed run needs the step
/// only, and the order is the same on every machine.
///
/// The permutation is a four-round Feistel network on the smallest even number of bits that holds the members, walked
/// until it falls inside (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002, section 3: at most four
/// rounds of it on average).
public struct EpochOrder: Sendable, Hashable {
    /// Members of the set.
    public let count: Int
    public let seed: UInt64
    private let halfBits: UInt64

    /// - Precondition: at least one member.
    public init(count: Int, seed: UInt64) {
        precondition(count > 0, "an order of nothing")
        self.count = count
        self.seed = seed
        var bits: UInt64 = 1
        while 1 << (2 * bits) < UInt64(count) { bits += 1 }
        halfBits = bits
    }

    /// The member that a sample is, counting samples from 0 through all epochs. O(1).
    public func index(ofSample sample: Int) -> Int {
        let (epoch, position) = sample.quotientAndRemainder(dividingBy: count)
        return permuted(position, key: key(ofEpoch: epoch))
    }

    /// What an epoch's randomness follows from.
    func key(ofEpoch epoch: Int) -> UInt64 { Self.mix(seed ^ Self.mix(UInt64(epoch) &+ 1)) }

    func permuted(_ position: Int, key: UInt64) -> Int {
        let mask: UInt64 = (1 << halfBits) - 1
        var value = UInt64(position)
        repeat {
            var (left, right) = (value >> halfBits, value & mask)
            for round in 0..<4 as Range<UInt64> {
                (left, right) = (right, left ^ (Self.mix(key &+ right &+ (round << 58)) & mask))
            }
            value = left << halfBits | right
        } while value >= UInt64(count)
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
