/// The least that every matrix keeps, against layer collapse: one threshold for all may take a matrix of small weights
/// whole, and then no signal and no gradient passes it.
///
/// Gupta et al., "Is Complexity Required for Neural Network Pruning?" (2022), call it the minimum threshold. A matrix
/// that is smaller than its floor stays dense.
public enum LayerFloor: Sendable, Hashable {
    /// So many weights of each matrix.
    case count(Int)
    /// At least this share of each matrix's own weights, in `(0, 1)`: ⌈share · N_l⌉.
    case share(Double)
    /// As many weights as this share of all matrices together, in `(0, 1)`: ⌊share · N⌋, the paper's form.
    case shareOfAll(Double)

    /// The paper's default: 0.05 % of all weights.
    public static let standard = shareOfAll(0.0005)
}
