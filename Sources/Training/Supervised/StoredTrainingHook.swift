import CoppiceModels
import CoppiceTensors

/// A hook whose memory belongs into checkpoints, so that a resumed run goes on exactly.
public protocol StoredTrainingHook: TrainingHook {
    /// What the hook remembers, by names that no parameter has. Not changed by later steps.
    func tensors() -> [NamedTensor]

    /// Puts back what ``tensors()`` gave, before the parameters of that time are put back.
    ///
    /// - Parameter source: the file it was read from, for error messages.
    /// - Throws: `.badData` naming the tensor that is missing or does not fit; then nothing has changed.
    func restore(_ tensors: [String: Tensor], source: String) throws

    /// How many entries of which weights are kept; empty for a hook without masks.
    var keptCounts: [KeptCount] { get }
}

extension StoredTrainingHook {
    public var keptCounts: [KeptCount] { [] }
}

/// How many entries of a weight are kept.
public struct KeptCount: Sendable, Hashable {
    /// The weight's name.
    public var name: String
    public var kept: Int
    public var count: Int

    public init(name: String, kept: Int, count: Int) {
        self.name = name
        self.kept = kept
        self.count = count
    }

    /// The part that is kept; 1 of nothing.
    public var density: Double { count == 0 ? 1 : Double(kept) / Double(count) }
}
