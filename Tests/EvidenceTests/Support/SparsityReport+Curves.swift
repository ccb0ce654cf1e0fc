import CoppiceCompression
import Foundation

extension SparsityReport {
    /// A report of some curves on one shard.
    static func curves(
        _ curves: [(label: String, sparsities: [Double], losses: [Double])], chanceLoss: Double, tolerancePoint: Double
    ) throws -> SparsityReport {
        let series = curves.map { curve -> [String: Any] in
            [
                "label": curve.label, "tolerancePoint": tolerancePoint,
                "points": zip(curve.sparsities, curve.losses).map { sparsity, loss -> [String: Any] in
                    ["sparsity": sparsity, "shardLosses": [loss], "layerSparsities": [sparsity]]
                },
            ]
        }
        let object: [String: Any] = [
            "weights": ["blocks.0.attn.qkv.weight"], "tolerance": 0.05, "measure": "accuracy", "chanceLoss": chanceLoss,
            "series": series,
        ]
        return try JSONDecoder().decode(SparsityReport.self, from: JSONSerialization.data(withJSONObject: object))
    }
}
