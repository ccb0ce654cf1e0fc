/// Something with a way around it, which can go from a network as a whole.
public protocol BlockPlace: Sendable, Hashable {
    /// What the names of its parameters begin with, such as `layer1.0`.
    var name: String { get }
}

/// A residual block of a network: what is added to its input, y = f(x) + x.
public struct ResidualBlockPlace: BlockPlace {
    public var name: String
    /// From 0.
    public var stage: Int
    /// Whether input and output have the same shape, so that without the block the identity is left.
    public var keepsShape: Bool
    /// Whether it is the last one before rows and columns are reduced.
    public var precedesReduction: Bool
    /// The parameters that all of f is multiplied with or consists of at its end: zeros there make f zero.
    public var end: [String]

    public init(name: String, stage: Int, keepsShape: Bool, precedesReduction: Bool, end: [String]) {
        self.name = name
        self.stage = stage
        self.keepsShape = keepsShape
        self.precedesReduction = precedesReduction
        self.end = end
    }
}

/// Which residual blocks may be removed.
public enum RemovableBlocks: String, Sendable, Hashable, CaseIterable {
    /// Those that neither reduce rows and columns nor come right before a block that does (Jordao et al.).
    case strict
    /// All whose input and output have the same shape.
    case shape

    public func contains(_ block: ResidualBlockPlace) -> Bool {
        block.keepsShape && (self == .shape || !block.precedesReduction)
    }
}

/// Blocks of stages, numbered in each from 0.
struct BlockStages {
    /// Blocks of each stage.
    var counts: [Int]
    /// The name of a stage, which blocks' names begin with.
    var stageName: (Int) -> String
    /// Whether the first block of the first stage changes the shape.
    var changesFirst: Bool

    func places(end: (String) -> [String]) -> [ResidualBlockPlace] {
        counts.enumerated().flatMap { stage, count in
            (0..<count).map { index in
                let name = "\(stageName(stage)).\(index)"
                return ResidualBlockPlace(
                    name: name, stage: stage, keepsShape: index > 0 || (stage == 0 && !changesFirst),
                    precedesReduction: index == count - 1 && stage < counts.count - 1, end: end(name))
            }
        }
    }

    /// What is left: counts, old names by new names, and widths under the new names.
    func removing(
        _ blocks: Set<String>, widths: [String: Int]
    ) -> (counts: [Int], oldNames: [String: String], widths: [String: Int]) {
        var oldNames: [String: String] = [:]
        var newNames: [String: String] = [:]
        let left = counts.enumerated().map { stage, count in
            let kept = (0..<count).filter { !blocks.contains("\(stageName(stage)).\($0)") }
            for (new, old) in kept.enumerated() {
                oldNames["\(stageName(stage)).\(new)"] = "\(stageName(stage)).\(old)"
                newNames["\(stageName(stage)).\(old)"] = "\(stageName(stage)).\(new)"
            }
            return kept.count
        }
        var ownWidths: [String: Int] = [:]
        for (name, width) in widths where BlockRemoval.block(of: name, among: blocks) == nil {
            if let old = BlockRemoval.block(of: name, among: newNames.keys), let new = newNames[old] {
                ownWidths[new + name.dropFirst(old.count)] = width
            } else {
                ownWidths[name] = width
            }
        }
        return (left, oldNames, ownWidths)
    }
}
