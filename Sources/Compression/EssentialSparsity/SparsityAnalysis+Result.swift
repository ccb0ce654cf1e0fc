import CoppiceModels
import CoppiceTensors

extension SparsityAnalysis {
    /// What was found.
    public struct Result: Sendable {
        /// By magnitude, then at random where that was asked for.
        public var sweep: SparsityReport
        /// Near-zero weights of each pruned matrix below ``nearZeroThresholds``.
        public var nearZero: [NearZeroCounts]
        /// The measured point nearest to the knee of pruning by magnitude, and its masks; nil without a knee.
        public var knee: (point: SparsityReport.Point, masks: [WeightMask])?
        /// SHA-256 of the pruned matrices' values, to which masks belong.
        public var modelDigest: String
        /// Running statistics of norms under the masks at the knee, by name; none where those of the dense network stay.
        public var statistics: [String: [Float]] = [:]

        /// The share of all those weights below each threshold.
        public var nearZeroFractions: [Double] {
            let total = nearZero.reduce(0) { $0 + $1.count }
            return SparsityAnalysis.nearZeroThresholds.indices.map { index in
                total == 0 ? 0 : Double(nearZero.reduce(0) { $0 + $1.below[index] }) / Double(total)
            }
        }

        /// Matrices that lose more than 95 % at a sparsity of 90 % or less.
        public var starved: [(weight: String, sparsity: Double)] { sweep.starvedWeights(in: sweep.series[0]) }

        /// The masks at the knee with what belongs to them; nil without a knee.
        public var maskFile: MaskFile? {
            knee.map { knee in
                var file = MaskFile(
                    zip(sweep.weights, knee.masks).map { MaskFile.Entry(name: $0, mask: $1) }, modelDigest: modelDigest)
                file.statistics = statistics
                return file
            }
        }

        /// With stable keys.
        public var json: JSON {
            let measure = sweep.measure
            func interval(_ value: SparsityReport.Interval?) -> JSON {
                value.map { .array([.number($0.low), .number($0.high)]) } ?? .null
            }
            let series = sweep.series.map { series -> JSON in
                .object([
                    "label": .string(series.label), "tolerance_point": .number(series.tolerancePoint),
                    "tolerance_point_interval": interval(series.tolerancePointInterval),
                    "knee": series.knee.map { .number($0.breakpoint) } ?? .null,
                    "knee_interval": interval(series.kneeInterval),
                    "slope_before": series.knee.map { .number(measure.slope($0.slopeBefore)) } ?? .null,
                    "slope_after": series.knee.map { .number(measure.slope($0.slopeAfter)) } ?? .null,
                    "sharp": series.knee.map { .bool($0.isSharp) } ?? .null,
                    "points": .array(
                        series.points.map {
                            .object([
                                "sparsity": .number($0.sparsity), measure.rawValue: .number(measure.value($0.loss)),
                            ])
                        }),
                ])
            }
            let weights = sweep.weights.indices.map { index -> JSON in
                .object([
                    "name": .string(sweep.weights[index]),
                    "sparsity_at_knee": knee.map { .number($0.point.layerSparsities[index]) } ?? .null,
                    "near_zero": .array(nearZero[index].fractions.map { .number($0) }),
                ])
            }
            return .object([
                "eval": .string(measure.rawValue),
                "chance_\(measure.rawValue)": .number(measure.value(sweep.chanceLoss)),
                "tolerance": .number(sweep.tolerance), "series": .array(series),
                "near_zero_thresholds": .array(SparsityAnalysis.nearZeroThresholds.map { .number($0) }),
                "near_zero": .array(nearZeroFractions.map { .number($0) }), "weights": .array(weights),
                "starved": .array(starved.map { .string($0.weight) }), "model_digest": .string(modelDigest),
            ])
        }
    }

    /// Windows of one token more than they predict, spread evenly over a text.
    ///
    /// A short text makes short windows rather than few: intervals come from their differences.
    ///
    /// - Throws: `.badData` for a text that is too short to measure anything.
    public static func windows(of tokens: [Int], count: Int, length: Int, source: String) throws -> [[Int]] {
        let size = min(length + 1, tokens.count / 4)
        guard size >= 16 else {
            throw CoppiceError(
                .badData, source: source, "the evaluation text has \(tokens.count) tokens, expected at least 64")
        }
        let fitting = min(count, tokens.count / size)
        return (0..<fitting).map { index in
            let start = fitting == 1 ? 0 : (tokens.count - size) * index / (fitting - 1)
            return Array(tokens[start..<(start + size)])
        }
    }
}
