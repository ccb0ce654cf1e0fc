import CoppiceTensors
import OrderedCollections

/// The structure of a network of one family: what an architecture says of itself beside its forward pass.
public protocol VisionConfiguration: Sendable, Hashable {
    /// Names of the family's usual members: for lists and for hints.
    static var knownNames: [String] { get }

    var options: ClassifierOptions { get set }
    /// The structure as a word: `resnet20`, `wrn-28-10`.
    var name: String { get }
    /// The fewest rows and columns that the network can take.
    var smallestImage: Int { get }
    /// The shape of one input: `[channels, rows, columns]`, or `[time, features]`.
    var inputShape: [Int] { get }
    /// What neither the name nor the options say, as fields of a configuration file.
    var details: OrderedDictionary<String, JSON> { get }

    /// The structure of a name with the options of its publication.
    ///
    /// - Returns: nil for a name of another family.
    /// - Throws: `.usage` for a name of this family that says something impossible.
    init?(named name: String) throws

    /// The structure of a checkpoint's tensors, with the publication's widths.
    ///
    /// - Returns: nil for tensors of another family.
    init?(recognizing tensors: TensorShapes)

    /// This family's names of tensors for those of checkpoints that circulate, in the same order.
    static func canonicalNames(_ names: [String]) -> [String]

    /// Reads ``details``.
    mutating func read(_ fields: DetailFields) throws

    /// - Throws: `.badData` for widths that cannot be together.
    func check(widths: [String: Int]) throws

    /// Names of widths of which each must be at least as large as the one before it, whatever the others are.
    var ascendingWidths: [String] { get }

    /// Where the kept channels begin when a network is cut from some widths to smaller ones so that it computes what
    /// the network with the other channels at zero computes: by width, 0 for those that are not named.
    ///
    /// - Throws: `.badData` where channels are coupled so that no neighbouring ones can stay.
    func keptStarts(from old: [String: Int], to new: [String: Int]) throws -> [String: Int]

    /// The residual blocks, in the network's order; none where nothing is added to what a block sees.
    var residualBlocks: [ResidualBlockPlace] { get }

    /// The structure without some blocks.
    ///
    /// - Returns: the structure, and the old name of each block that is left by its new name; nil where the family has
    /// no
    ///   such structure.
    func removing(blocks: Set<String>) -> (configuration: any VisionConfiguration, oldNames: [String: String])?

    /// The structure with the sizes that the tensors of a network have and ``ClassifierOptions/widths`` do not say.
    func sized(by tensors: TensorShapes) -> Self

    /// How often an entry of each weight that belongs to no convolution and no linear layer is multiplied for one input.
    var stepUses: [String: Int] { get }

    /// The network, with the builder's layers.
    func network(_ layers: inout LayerBuilder) -> any VisionNetwork
}

extension VisionConfiguration {
    public var smallestImage: Int { 1 }
    public var inputShape: [Int] { [options.inputChannels, options.imageSize.rows, options.imageSize.columns] }
    public var details: OrderedDictionary<String, JSON> { [:] }
    public static func canonicalNames(_ names: [String]) -> [String] { names }
    public mutating func read(_ fields: DetailFields) throws {}
    public func check(widths: [String: Int]) throws {}
    public var ascendingWidths: [String] { [] }
    public func sized(by tensors: TensorShapes) -> Self { self }
    public var stepUses: [String: Int] { [:] }
    public func keptStarts(from old: [String: Int], to new: [String: Int]) throws -> [String: Int] { [:] }
    public var residualBlocks: [ResidualBlockPlace] { [] }
    public func removing(
        blocks: Set<String>
    ) -> (configuration: any VisionConfiguration, oldNames: [String: String])? { nil }

    public var classes: Int {
        get { options.classes }
        set { options.classes = newValue }
    }

    public var inputChannels: Int {
        get { options.inputChannels }
        set { options.inputChannels = newValue }
    }

    /// The configuration whatever its family, for comparison.
    var key: AnyHashable { AnyHashable(self) }

    /// Depths and counts beyond this are refused, so that a name costs nothing.
    static var largestCount: Int { 2048 }

    static func refusal(_ name: String, _ expected: String) -> CoppiceError {
        CoppiceError(.usage, field: "architecture", "\"\(name.prefix(60))\", expected \(expected)")
    }

    /// Counts within the limits from the digits of a name.
    static func counts(_ text: some StringProtocol) -> [Int]? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        let counts = parts.compactMap { $0 }.filter { (0...largestCount).contains($0) }
        return counts.count == parts.count ? counts : nil
    }
}

/// Reads the fields of a configuration file that only one family knows.
public struct DetailFields {
    let fields: ConfigurationFields

    /// A flag that may be absent.
    func flag(_ key: String, default standard: Bool) throws -> Bool { try fields.flag(key, default: standard) }

    /// A count of at least one that may be absent.
    func count(_ key: String, default standard: Int) throws -> Int { try fields.optionalInteger(key) ?? standard }

    /// So many counts of at least one; nil where they are absent.
    func counts(_ key: String, count: Int) throws -> [Int]? {
        guard let value = fields.value(key) else { return nil }
        let counts = value.arrayValue?.compactMap(\.intValue).filter { (1...1 << 16).contains($0) } ?? []
        guard counts.count == count, value.arrayValue?.count == count else {
            throw fields.mismatch(key, "\(count) whole numbers of at least 1")
        }
        return counts
    }

    /// A probability below one that may be absent.
    func rate(_ key: String, default standard: Double) throws -> Double {
        guard let rate = try fields.optionalPositive(key, orZero: true) else { return standard }
        guard rate < 1 else { throw fields.mismatch(key, "a number from 0 to below 1") }
        return rate
    }
}
