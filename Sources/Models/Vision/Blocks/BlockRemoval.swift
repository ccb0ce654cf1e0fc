import CoppiceNetworks
import CoppiceTensors

/// A residual network without some of its blocks: a shallower network that is built anew and takes over the weights of
/// the blocks that are left. Where a block was, the identity is.
///
/// ```swift
/// let removal = try BlockRemoval(of: ["layer1.1", "layer3.2"], from: VisionArchitecture(named: "resnet20"))
/// let shallow = removal(network)                   // a resnet-2-3-2
/// ```
public struct BlockRemoval: Sendable {
    public let removed: [ResidualBlockPlace]
    /// Of the network with all blocks.
    public let original: VisionArchitecture
    /// Of what is left.
    public let architecture: VisionArchitecture
    private let oldNames: [String: String]

    /// - Throws: `.badData` for a network without residual blocks, for a name that is no block's, and for a block whose
    ///   output has another shape than its input.
    public init(of names: [String], from architecture: VisionArchitecture) throws {
        let blocks = try Self.blocks(of: architecture)
        removed = try names.map { name in
            guard let block = blocks.first(where: { $0.name == name }) else {
                throw CoppiceError(
                    .badData, field: name,
                    "is no block of \(architecture.name)" + Spelling.hint(name, blocks.map(\.name)))
            }
            guard block.keepsShape else {
                throw CoppiceError(
                    .badData, field: name, "cannot be removed: its output has another shape than its input")
            }
            return block
        }
        guard let rest = architecture.configuration.removing(blocks: Set(names)) else {
            throw CoppiceError(
                .badData, field: "blocks",
                "without \(names.joined(separator: ", ")) nothing is left of a stage of \(architecture.name)")
        }
        original = architecture
        self.architecture = try VisionArchitecture(rest.configuration)
        oldNames = rest.oldNames
    }

    /// The residual blocks of an architecture.
    ///
    /// - Throws: `.badData` for a network that has none.
    public static func blocks(of architecture: VisionArchitecture) throws -> [ResidualBlockPlace] {
        let blocks = architecture.configuration.residualBlocks
        guard !blocks.isEmpty else {
            throw CoppiceError(
                .badData, field: "architecture",
                "\(architecture.name) has no identity path around its blocks, expected a residual network")
        }
        return blocks
    }

    /// What a tensor of the shallower network is called in the whole one.
    public func originalName(_ name: String) -> String {
        guard let block = Self.block(of: name, among: oldNames.keys), let place = oldNames[block] else { return name }
        return place + name.dropFirst(block.count)
    }

    /// The shallower network with the weights and statistics of the blocks that are left.
    ///
    /// - Precondition: a network of the original architecture.
    public func callAsFunction(_ network: any VisionNetwork) -> any VisionNetwork {
        let result = architecture.makeUnloadedNetwork()
        let parameters = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        let state = Dictionary(uniqueKeysWithValues: network.stateTensors.map { ($0.name, $0.state) })
        func original<Found>(_ name: String, _ found: [String: Found]) -> Found {
            let old = originalName(name)
            guard let own = found[old] else { preconditionFailure("\(old) is missing") }
            return own
        }
        for (name, parameter) in result.parameters {
            parameter.wrappedValue = original(name, parameters).wrappedValue.detached().copied()
        }
        for (name, tensor) in result.stateTensors {
            tensor.wrappedValue = original(name, state).wrappedValue.copied()
        }
        return result
    }

    /// Makes the removed blocks' branches zero in the whole network, which then computes what the shallower one does.
    public func silence(_ network: any VisionNetwork) {
        let ends = Set(removed.flatMap(\.end))
        for (name, parameter) in network.parameters where ends.contains(name) {
            parameter.wrappedValue = .zeros(parameter.wrappedValue.shape, dataType: parameter.wrappedValue.dataType)
        }
    }

    /// The block that a tensor is in.
    static func block(of name: String, among blocks: some Sequence<String>) -> String? {
        blocks.first { name.hasPrefix($0 + ".") }
    }
}
