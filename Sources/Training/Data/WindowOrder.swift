/// The order in which windows of a token stream are visited: a pure function of the seed and the sample's number.
///
/// Each epoch visits every window once, in an order of its own, and cuts the stream at an offset of its own, so that
/// the model does not always see the same first tokens. Nothing is stored, so a resumed run needs the step only, and
/// the order is the same on every machine.
public struct WindowOrder: Sendable, Hashable {
    /// Tokens that a window predicts; it spans one more.
    public let length: Int
    /// Windows of an epoch.
    public let windowsPerEpoch: Int
    public let seed: UInt64
    private let hasOffset: Bool
    private let order: EpochOrder

    /// - Precondition: `tokenCount > length > 0`.
    public init(tokenCount: Int, length: Int, seed: UInt64) {
        precondition(length > 0 && tokenCount > length, "\(tokenCount) tokens hold no window of \(length + 1)")
        self.length = length
        self.seed = seed
        // Every offset below `length` must leave room for all windows; a stream too short for that gets none.
        let withOffset = (tokenCount - length) / length
        hasOffset = withOffset > 0
        windowsPerEpoch = hasOffset ? withOffset : 1
        order = EpochOrder(count: windowsPerEpoch, seed: seed)
    }

    /// The index of the first token of a sample's window, counting samples from 0 through all epochs. O(1).
    public func start(ofSample sample: Int) -> Int {
        let (epoch, position) = sample.quotientAndRemainder(dividingBy: windowsPerEpoch)
        let key = order.key(ofEpoch: epoch)
        let offset = hasOffset ? Int(EpochOrder.mix(key ^ 0x6F66_6673_6574) % UInt64(length)) : 0
        return offset + order.permuted(position, key: key) * length
    }
}
