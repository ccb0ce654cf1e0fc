import CoppiceModels
import CoppiceTensors

/// What kept weights that make up for removed ones go with.
extension Recipe {
    /// - Throws: `.badData` for a method, pattern or schedule that they do not go with.
    static func checkReconstruction(
        _ options: NetworkPruning, _ fields: [String: RecipeNode], _ method: PruneStage.Method,
        _ pattern: PruneStage.Pattern
    ) throws {
        if method == .sparseGPT { try checkSparseGPT(options, fields, pattern) }
        guard options.recovery == .reconstruct, let field = fields["recovery"] else { return }
        guard method.prunesMatrices, method != .sparseGPT else {
            throw field.error(
                method == .sparseGPT
                    ? "sparsegpt reconstructs as it removes; leave it out"
                    : "reconstruct makes up for what goes matrix by matrix, expected method magnitude, wanda or random")
        }
        guard options.schedule == .oneShot(rounds: 1) else {
            throw (fields["schedule"] ?? field).error("reconstruct comes after pruning at once; leave the schedule out")
        }
    }

    private static func checkSparseGPT(
        _ options: NetworkPruning, _ fields: [String: RecipeNode], _ pattern: PruneStage.Pattern
    ) throws {
        switch pattern {
        case .unstructured, .semiStructured: break
        case .groups, .blocks:
            let message = "sparsegpt removes single weights, expected pattern unstructured or kept:of, such as \"2:4\""
            if let field = fields["pattern"] { throw field.error(message) }
        }
        if let field = fields["scope"], try field.word(PruneStage.Scope.self) != .layer {
            throw field.error("sparsegpt compares the weights of a block of a matrix's columns, expected layer")
        }
        if let field = fields["allocation"] {
            let allocation = try field.word(PruneStage.Sharing.self)
            if allocation == .lamp || allocation == .rateDistortion {
                throw field.error(
                    "sparsegpt has no scores before it prunes, and \(allocation.rawValue) needs them; expected uniform, "
                        + "erk or uniform+")
            }
        }
    }
}
