import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A network in memory and the masks of its prunable weights.
///
/// A removed weight is zero in the network from the moment it is removed, so the network computes what it will compute
/// when it is stored sparsely; gradients by its weights are dense all the same, which is what criteria that let weights
/// return need.
///
/// ```swift
/// let prunable = try PrunableNetwork(network)
/// try prunable.prune(by: .magnitude, to: 0.9)
/// try training.run(network, on: batches, hooks: [MaskedTraining(prunable)])
/// ```
public final class PrunableNetwork {
    public let network: any SupervisedNetwork
    /// The prunable weights, in the network's order.
    public let weights: [PrunableWeight]
    /// The mask of each prunable weight.
    public private(set) var masks: [WeightMask] {
        didSet {
            isPruned = masks.map { $0.removedCount > 0 }
            maskVersion += 1
        }
    }
    /// How often the masks have been replaced.
    private(set) var maskVersion = 0
    /// What ``sparseProducts(from:)`` found last.
    var knownProducts: (version: Int, sparsity: Double, products: SparseProducts?)?
    /// Whether each mask removes anything.
    private var isPruned: [Bool]
    /// What the network holds beside its parameters, such as running statistics.
    private lazy var states = network.stateTensors.map(\.state)
    /// The place of each prunable weight among the network's parameters.
    public let places: [Int]
    let parameters: [Parameter]

    /// Finds the prunable weights: parameters of two or more dimensions, such as those of linear layers, convolutions
    /// and recurrent cells.
    ///
    /// - Parameters:
    ///   - targets: patterns of which one must match a weight's name; nil for all but embeddings.
    ///   - ignore: patterns of which none may match.
    ///   - includesEmbeddings: whether embeddings are among the weights.
    /// - Throws: `.badData` naming a pattern that matches nothing, with the nearest name; or when nothing is left.
    public convenience init(
        _ network: any SupervisedNetwork, targets: [WeightPattern]? = nil, ignore: [WeightPattern] = [],
        includesEmbeddings: Bool = false
    ) throws {
        let embeddings = Set(
            network.modules.filter { $0.module is any VectorTable }.flatMap { own in
                own.module.parameters.map { own.name.isEmpty ? $0.name : "\(own.name).\($0.name)" }
            })
        func isCandidate(_ name: String, _ parameter: Parameter) -> Bool {
            parameter.wrappedValue.rank >= 2 && (includesEmbeddings || !embeddings.contains(name))
        }
        let names = network.parameters.filter { isCandidate($0.name, $0.parameter) }.map(\.name)
        for (key, patterns) in [("targets", targets ?? []), ("ignore", ignore)] {
            for pattern in patterns where !names.contains(where: pattern.matches) {
                throw CoppiceError(
                    .badData, field: key,
                    "\"\(pattern)\" matches no prunable weight" + Spelling.hint(pattern.text, names))
            }
        }
        try self.init(network) { name, parameter in
            isCandidate(name, parameter) && (targets.map { $0.contains { $0.matches(name) } } ?? true)
                && !ignore.contains { $0.matches(name) }
        }
    }

    /// The weights of exactly these names.
    ///
    /// - Throws: `.badData` when there is none.
    convenience init(_ network: any SupervisedNetwork, named names: Set<String>) throws {
        try self.init(network) { name, parameter in names.contains(name) && parameter.wrappedValue.rank >= 2 }
    }

    private init(
        _ network: any SupervisedNetwork, choosing isChosen: (_ name: String, _ parameter: Parameter) -> Bool
    ) throws {
        let chosen = network.parameters.enumerated().filter { isChosen($1.name, $1.parameter) }
        guard !chosen.isEmpty else { throw CoppiceError(.badData, "the network has no prunable weight") }
        self.network = network
        places = chosen.map(\.offset)
        parameters = chosen.map(\.element.parameter)
        weights = chosen.map { PrunableWeight(name: $0.element.name, shape: $0.element.parameter.wrappedValue.shape) }
        masks = weights.map { WeightMask(keepingAllOf: $0.rows, $0.columns) }
        isPruned = weights.map { _ in false }
    }

    /// The number of prunable weights.
    public var count: Int { weights.reduce(0) { $0 + $1.count } }

    /// The number of those removed.
    public var removedCount: Int { masks.reduce(0) { $0 + $1.removedCount } }

    /// The fraction of prunable weights that is removed.
    public var sparsity: Double { Double(removedCount) / Double(count) }

    /// A weight's values as a matrix: f32 `[rows, columns]`.
    public func values(_ index: Int) -> Tensor {
        parameters[index].wrappedValue.detached().converted(to: .f32).contiguous()
            .reshaped([weights[index].rows, weights[index].columns])
    }

    /// Replaces the masks and sets what they remove to zero. A weight that returns starts from zero.
    ///
    /// - Precondition: a mask of each weight's shape.
    public func setMasks(_ masks: [WeightMask]) {
        replaceMasks(masks)
        applyMasks()
    }

    /// Replaces the masks; kept weights take the values that are given. O(N).
    ///
    /// - Parameters:
    ///   - values: of each prunable weight, f32 `[rows, columns]`.
    ///   - isShown: whether the network holds them already, as far as its masks keep them: then only what changes is
    ///     written.
    /// - Precondition: a mask of each weight's shape.
    func setMasks(_ masks: [WeightMask], values: [Tensor], isShown: Bool = false) {
        let before = self.masks
        replaceMasks(masks)
        guard isShown else { return show(values) }
        for (index, mask) in masks.enumerated() where mask != before[index] {
            parameters[index].update { mask.copyChanges(since: before[index], values[index], to: $0) }
        }
    }

    /// Puts values into the network, as far as the masks keep them.
    ///
    /// - Parameter values: of each prunable weight, f32 `[rows, columns]`.
    func show(_ values: [Tensor]) {
        for (index, mask) in masks.enumerated() {
            // New memory: what was there may still be held by somebody, and would be copied first.
            var shown = Tensor(uninitialized: parameters[index].wrappedValue.shape)
            shown.withMutableElements(Float.self) { mask.copy(values[index], to: $0) }
            parameters[index].wrappedValue = shown
        }
    }

    private func replaceMasks(_ masks: [WeightMask]) {
        precondition(masks.count == weights.count, "\(masks.count) masks for \(weights.count) weights")
        for (mask, weight) in zip(masks, weights) {
            precondition(mask.rows == weight.rows && mask.columns == weight.columns, "a mask of another weight")
        }
        self.masks = masks
    }

    /// Sets the removed weights to zero. O(N).
    public func applyMasks() {
        for (index, mask) in masks.enumerated() where isPruned[index] {
            parameters[index].update { mask.apply(to: $0) }
        }
    }

    /// Sets what the optimizer remembers of removed weights to zero, so that momentum cannot bring them back. O(N).
    public func applyMasks(to state: inout OptimizerState) {
        for (index, mask) in masks.enumerated() where isPruned[index] {
            let place = places[index]
            for slot in state.slots[place].indices {
                state.slots[place][slot].withMutableElements(Float.self) { mask.apply(to: $0) }
            }
        }
    }

    /// Sets earlier gradients by removed weights to zero, where the optimizer keeps some. O(weights) where masks are those
    /// of the last call.
    ///
    /// - Throws: as ``GradientWindow/hold(_:)``.
    public func applyMasks(toWindowOf state: inout OptimizerState) throws {
        try state.window?.hold(zip(places, masks).map { (place: $0, words: $1.words) })
    }

    /// Sets gradients by removed weights to zero, so that neither clipping nor an optimizer sees them. O(N).
    ///
    /// - Parameter gradients: by all parameters of the network, in its order.
    public func applyMasks(toGradients gradients: inout [Tensor]) {
        for (place, mask) in zip(places, masks) where mask.removedCount > 0 {
            var masked = gradients[place].detached().contiguous()
            masked.withMutableElements(Float.self) { mask.apply(to: $0) }
            gradients[place] = masked
        }
    }

    /// Gradients of the mean loss over batches by the prunable weights, as matrices; the removed ones included.
    ///
    /// - Parameter loss: the loss of a batch, the network's own by default.
    /// - Throws: `.badData` naming the weight whose gradient is not finite.
    public func gradients(
        on batches: [LabeledBatch], loss: ((LabeledBatch) -> Tensor)? = nil
    ) throws -> [Tensor] {
        precondition(!batches.isEmpty, "gradients of no batch")
        let before = states.map(\.wrappedValue)
        defer { for (state, value) in zip(states, before) { state.wrappedValue = value } }
        var sums: [Tensor]?
        for batch in batches {
            let value = loss?(batch) ?? network.loss(batch)
            let parts = CoppiceTensors.gradients(of: value, withRespectTo: parameters.map(\.wrappedValue))
            sums = withoutRecording { sums.map { zip($0, parts).map { $0 + $1 } } ?? parts }
        }
        let means = withoutRecording { (sums ?? []).map { batches.count == 1 ? $0 : $0 / Double(batches.count) } }
        return try matrices(means, what: "gradient")
    }

    /// Gradients of a batch's loss by the prunable weights, as matrices, and by other parameters of the network; not
    /// checked for numbers.
    func slopes(
        on batch: LabeledBatch, and others: [Parameter] = [], loss: (LabeledBatch) -> Tensor
    ) -> (own: [Tensor], others: [Tensor]) {
        let before = states.map(\.wrappedValue)
        defer { for (state, value) in zip(states, before) { state.wrappedValue = value } }
        let slopes = CoppiceTensors.gradients(
            of: loss(batch), withRespectTo: (parameters + others).map(\.wrappedValue))
        return (matrices(Array(slopes.prefix(parameters.count))), Array(slopes.dropFirst(parameters.count)))
    }

    /// Tensors of the weights' shapes as matrices.
    func matrices(_ tensors: [Tensor]) -> [Tensor] {
        zip(tensors, weights).map { tensor, weight in
            tensor.detached().converted(to: .f32).contiguous().reshaped([weight.rows, weight.columns])
        }
    }

    /// The same, checked for numbers.
    func matrices(_ tensors: [Tensor], what: String) throws -> [Tensor] {
        let matrices = matrices(tensors)
        for (matrix, weight) in zip(matrices, weights) {
            try ExactSelection.checkFinite(matrix, name: "\(weight.name) (\(what))")
        }
        return matrices
    }
}
