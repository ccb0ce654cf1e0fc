/// A network of texts without some of its blocks; what is left keeps its weights.
public protocol TextBlockRemoval: Sendable {
    associatedtype Place: TextBlockPlace
    associatedtype Configuration: Sendable

    var removed: [Place] { get }
    /// Of the network with all blocks.
    var original: Configuration { get }
    /// Of what is left.
    var configuration: Configuration { get }

    /// - Throws: `.badData` for a name that is no block's and for a removal that leaves no layer.
    init(of names: [String], from original: Configuration) throws
}

extension DecoderBlockRemoval: TextBlockRemoval {}
