import CoppiceTensors

/// Removes as much at each level as the weights themselves say can go, unit by unit: nothing to choose but how bold to
/// be, and a unit that holds little that is redundant is left alone.
///
/// Diao et al., "Pruning deep neural networks from a sparsity perspective" (2023), algorithm 1 (SAP). Of the d weights
/// that a unit has left, with the index I of ``PQIndex``, at least r = ⌈d (1 + η)^(−q/(q − p)) (1 − I)^(pq/(q − p))⌉
/// are needed; the c = ⌊d · min(γ (1 − r/d), β)⌋ smallest go, but never a unit's last one.
///
/// ```swift
/// let search = try IterativePruning(training: training, rewindStep: 0)
/// let adaptive = try AdaptiveSparsity(.aggressive, scope: .layer)
/// try search.run(prunable, levels: 12, removing: adaptive, rewound: initial, on: batches) { level in … }
/// ```
public struct AdaptiveSparsity: LevelPruning {
    /// What decides for itself how much it loses, and is compared within itself.
    public enum Scope: String, Sendable, Hashable, CaseIterable {
        /// All prunable weights together.
        case global
        /// Each weight matrix.
        case layer
        /// Each output: a row of a matrix, a filter of a convolution.
        case neuron
    }

    /// A unit before a level's pruning, and what it loses.
    public struct Unit: Sendable, Hashable {
        /// The place of its matrix among the prunable weights; nil where the unit is the whole network.
        public var weight: Int?
        /// Its row; nil where it is not one.
        public var row: Int?
        /// d: the weights it has left.
        public var kept: Int
        /// I of them.
        public var index: Double
        /// c.
        public var removed: Int
    }

    public var index: PQIndex
    public var scope: Scope
    /// η: the part of Σ|w|ᵖ that may go with what is removed, by that of what is kept. Larger is bolder.
    public let tail: Double
    /// γ: what the removable part is multiplied by. Larger is bolder.
    public let aggressiveness: Double
    /// β: the largest part that a level removes of a unit.
    public let cap: Double

    /// - Throws: `.usage` unless η ≥ 0, γ > 0 and 0 < β ≤ 1.
    public init(
        _ index: PQIndex = .gentle, scope: Scope = .layer, tail: Double = 0, aggressiveness: Double = 1,
        cap: Double = 0.9
    ) throws {
        guard tail >= 0, tail.isFinite else {
            throw CoppiceError(.usage, field: "eta", "\(tail), expected a number of at least 0")
        }
        guard aggressiveness > 0, aggressiveness.isFinite else {
            throw CoppiceError(.usage, field: "gamma", "\(aggressiveness), expected a number above 0")
        }
        guard cap > 0, cap <= 1 else {
            throw CoppiceError(.usage, field: "beta", "\(cap), expected a number above 0 and at most 1")
        }
        self.index = index
        self.scope = scope
        self.tail = tail
        self.aggressiveness = aggressiveness
        self.cap = cap
    }

    /// c of a unit with d weights left. O(1).
    public func removedCount(of kept: Int, index value: Double) -> Int {
        guard kept > 0 else { return 0 }
        // A hair beside a whole number means that number, on both sides.
        let bound = self.index.leastRetained(of: kept, index: value, tail: tail)
        let needed = min(kept, Int((bound * (1 - 1e-12)).rounded(.up)))
        let wanted = min(aggressiveness * Double(kept - needed), cap * Double(kept))
        return min(kept - 1, Int((wanted * (1 + 1e-12)).rounded(.down)))
    }

    /// The units of a network and what each loses next. Units without weights are left out.
    ///
    /// - Throws: `.badData` for weights that are not finite.
    /// - Complexity: O(N), two passes.
    public func units(of network: PrunableNetwork) throws -> [Unit] {
        let places = network.weights.indices
        switch scope {
        case .global:
            return [unit(try index.sums(of: network))]
        case .layer:
            return try places.map {
                unit(try index.sums(of: network.values($0), mask: network.masks[$0]), weight: $0)
            }.filter { $0.kept > 0 }
        case .neuron:
            return try places.flatMap { place in
                try index.rowSums(network.values(place), mask: network.masks[place]).enumerated().map {
                    unit($0.element, weight: place, row: $0.offset)
                }.filter { $0.kept > 0 }
            }
        }
    }

    private func unit(_ sums: PQIndex.PowerSums, weight: Int? = nil, row: Int? = nil) -> Unit {
        let value = index.value(sums)
        return Unit(
            weight: weight, row: row, kept: sums.count, index: value,
            removed: removedCount(of: sums.count, index: value))
    }

    public func removeNext(from network: PrunableNetwork) throws -> Int {
        try remove(try units(of: network), from: network)
    }

    /// Removes the smallest weights of each unit, as many as it says.
    ///
    /// - Parameter units: those of the network as it is.
    /// - Returns: the weights removed.
    /// - Throws: `.badData` for weights that are not finite.
    public func remove(_ units: [Unit], from network: PrunableNetwork) throws -> Int {
        let total = units.reduce(0) { $0 + $1.removed }
        guard total > 0 else { return 0 }
        if scope == .global {
            try network.prune(
                by: .magnitude, to: Double(network.removedCount + total) / Double(network.count))
            return total
        }
        var masks = network.masks
        for (place, own) in Dictionary(grouping: units, by: { $0.weight ?? 0 }) {
            var magnitudes = network.values(place).abs()
            masks[place].fillRemoved(of: &magnitudes, with: -1)  // before all others
            if scope == .layer {
                masks[place] = ExactSelection.mask(
                    magnitudes, removing: masks[place].removedCount + own.reduce(0) { $0 + $1.removed })
            } else {
                masks[place] = Self.mask(magnitudes, removing: own, of: masks[place])
            }
        }
        network.setMasks(masks)
        return total
    }

    /// The mask whose rows lose as many of their smallest as the row's unit says. O(entries).
    private static func mask(_ magnitudes: Tensor, removing units: [Unit], of mask: WeightMask) -> WeightMask {
        var result = mask
        for unit in units where unit.removed > 0 {
            guard let row = unit.row else { continue }
            let own = magnitudes.slice(axis: 0, row..<(row + 1)).contiguous()
            let kept = ExactSelection.mask(own, removing: mask.columns - unit.kept + unit.removed)
            for column in 0..<mask.columns where !kept[0, column] { result[row, column] = false }
        }
        return result
    }
}

extension PQIndex {
    /// The index of all weights that a network has left together.
    ///
    /// - Throws: `.badData` for weights that are not finite.
    public func value(of network: PrunableNetwork) throws -> Double { value(try sums(of: network)) }

    func sums(of network: PrunableNetwork) throws -> PowerSums {
        try network.weights.indices.reduce(PowerSums()) {
            joined($0, try sums(of: network.values($1), mask: network.masks[$1]))
        }
    }
}
