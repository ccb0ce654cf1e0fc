import CoppiceModels
import CoppiceTensors
import Foundation

/// How compressible the weights of a stored model are: the PQ index of each matrix, of each output neuron or of all
/// weights together, read from the model once.
///
/// Diao et al., "Pruning deep neural networks from a sparsity perspective" (2023).
///
/// ```swift
/// let report = try SparsityIndexAnalysis(.gentle).run(StoredWeights.open("model"))
/// print(report.total.index, report.total.leastRetained)
/// ```
public struct SparsityIndexAnalysis: Sendable {
    /// What gets an index of its own; that of all weights together is always there.
    public enum Scope: String, Sendable, Hashable, CaseIterable {
        /// Each matrix.
        case tensor
        /// Each output: a row of a matrix, a filter of a convolution.
        case neuron
        /// Nothing but all weights together.
        case global
    }

    public var index: PQIndex
    public var scope: Scope
    /// Whether ``GiniIndex`` is measured as well, of what the scope names. It sorts, which takes several times as long.
    public var measuresGini = false
    /// Whether zeros count as weights. They do not by default: they are what was removed.
    public var countsZeros = false

    public init(_ index: PQIndex = .gentle, scope: Scope = .tensor) {
        self.index = index
        self.scope = scope
    }

    /// Reads every matrix of a model.
    ///
    /// - Throws: `.badData` for weights that are NaN or infinite, naming the matrix and the entry.
    /// - Complexity: O(weights), one pass, a matrix in memory at a time. O(weights · log) with Gini, of scope `global`
    ///   with eight bytes a weight.
    public func run(
        _ weights: StoredWeights, progress: any ProgressReporter = SilentProgress()
    ) throws -> SparsityIndexReport {
        let start = DispatchTime.now().uptimeNanoseconds
        var all = PQIndex.PowerSums()
        var magnitudes = GiniIndex.Magnitudes()
        var matrices: [SparsityIndexReport.Matrix] = []
        progress.begin("read", total: weights.matrices.count, unit: "matrices")
        for (place, weight) in weights.matrices.enumerated() {
            let values = try weights.values(of: weight.name)
            do {
                try add(weight, values, &matrices, &all, &magnitudes)
            } catch {
                try ExactSelection.checkFinite(values, name: weight.name, source: weights.path)
                throw error
            }
            weights.releasePages(of: weight.name)
            progress.advance(to: place + 1, note: weight.name)
        }
        progress.end("")
        var total = measure(all)
        if measuresGini, scope == .global { total.gini = magnitudes.giniIndex() }
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        return SparsityIndexReport(
            index: index, scope: scope, matrices: matrices, total: total, measuresGini: measuresGini, seconds: seconds)
    }

    private func add(
        _ weight: PrunableWeight, _ values: Tensor, _ matrices: inout [SparsityIndexReport.Matrix],
        _ all: inout PQIndex.PowerSums, _ magnitudes: inout GiniIndex.Magnitudes
    ) throws {
        if scope == .neuron {
            let rows = try index.rowSums(values, mask: nil)
            var neurons = rows.map(measure)
            if measuresGini {
                for row in neurons.indices { neurons[row].gini = gini(values.slice(axis: 0, row..<row + 1)) }
            }
            let own = rows.reduce(PQIndex.PowerSums(), index.joined)
            all = index.joined(all, own)
            matrices.append(.init(name: weight.name, whole: measure(own), neurons: neurons))
            return
        }
        let own = try index.sums(of: values, mask: nil)
        all = index.joined(all, own)
        if scope == .global {
            if measuresGini { magnitudes.add(values, countsZeros: countsZeros) }
            return
        }
        var whole = measure(own)
        if measuresGini { whole.gini = gini(values) }
        matrices.append(.init(name: weight.name, whole: whole, neurons: []))
    }

    private func gini(_ values: Tensor) -> Double {
        var own = GiniIndex.Magnitudes()
        own.add(values, countsZeros: countsZeros)
        return own.giniIndex()
    }

    private func measure(_ sums: PQIndex.PowerSums) -> SparsityIndexReport.Measure {
        var sums = sums
        let zeros = sums.count - sums.nonZeroCount
        if !countsZeros { sums.count = sums.nonZeroCount }
        let value = index.value(sums)
        let least = index.leastRetained(of: sums.count, index: value)
        return .init(
            count: sums.count, zeros: zeros, index: value,
            leastRetained: sums.count == 0 ? 0 : least / Double(sums.count), gini: nil)
    }
}
