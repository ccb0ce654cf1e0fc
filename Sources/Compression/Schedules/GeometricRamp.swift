import CoppiceTensors

/// Sparsities on the way from one to another when every step keeps the same share of what is left: 1 − s falls
/// geometrically. The way of lottery tickets (Frankle and Carbin 2019) and of synaptic flow (Tanaka et al. 2020).
enum GeometricRamp {
    /// The sparsity after a part of the way, from 0 to 1; exactly the goal at 1.
    static func sparsity(from start: Double, to goal: Double, part: Double) -> Double {
        guard part < 1, start < 1 else { return goal }
        // In f64 of the tensor operations: the same everywhere.
        let share = Tensor((1 - goal) / (1 - start), dataType: .f64).power(part).doubles()[0]
        return min(max(1 - (1 - start) * share, start), goal)
    }
}
