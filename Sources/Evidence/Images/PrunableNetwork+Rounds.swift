import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors

extension PrunableNetwork {
    /// Removes weights of a dense network in rounds that each remove the same part of what is left, with scores anew:
    /// after round k of n the density is the last one to the power of k / n (Tanaka et al. 2020, algorithm 1).
    ///
    /// - Precondition: at least one round.
    /// - Throws: what ``prune(by:granularity:allocation:to:batches:allowsReturn:)`` throws.
    func prune(
        by criterion: any NetworkCriterion, allocation: any Allocation = GlobalAllocation(), to sparsity: Double,
        rounds: Int, batches: [LabeledBatch] = []
    ) throws {
        precondition(rounds > 0, "\(rounds) rounds")
        for round in 1...rounds {
            // The last round by the sparsity itself: an exact count.
            let part = Double(round) / Double(rounds)
            let kept = Tensor(1 - sparsity, dataType: .f64).power(part).doubles()[0]
            try prune(
                by: criterion, allocation: allocation, to: round == rounds ? sparsity : 1 - kept, batches: batches)
        }
    }
}
