import CoppiceTensors

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

extension Array where Element: TextBlockPlace {
    /// The blocks that have some names, in the names' order.
    ///
    /// - Parameter kind: what they are, for the error.
    /// - Throws: `.badData` for a name that is no block's, with the nearest one.
    func named(_ names: [String], kind: String) throws -> [Element] {
        try names.map { name in
            guard let block = first(where: { $0.name == name }) else {
                throw CoppiceError(.badData, field: name, "is no \(kind)" + Spelling.hint(name, map(\.name)))
            }
            return block
        }
    }
}
