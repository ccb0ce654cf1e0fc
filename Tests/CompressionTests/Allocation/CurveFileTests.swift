import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Curves as files: what is measured once and allocates many times.
@Suite(.serialized) struct CurveFileTests {
    private let folder: TemporaryFolder
    private let images = CompressionImages(
        training: .shapes(120, size: 28, seed: 1), evaluation: .shapes(40, size: 28, seed: 2))

    init() throws { folder = try TemporaryFolder() }

    private func lenet(seed: UInt64 = 1) throws -> VisionCheckpoint {
        let path = folder.path + "/lenet-\(seed)"
        try VisionCheckpoint.write(
            VisionArchitecture(named: "lenet-300-100", widthMultiplier: 0.1).makeNetwork(seed: seed), folder: path)
        return try .open(path)
    }

    private func measured(_ checkpoint: VisionCheckpoint) throws -> CurveFile {
        var measurement = CurveMeasurement()
        (measurement.options.grid, measurement.options.samples) = (10, 40)
        return try measurement.run(checkpoint, images: images)
    }

    private func write(_ file: CurveFile) throws -> String {
        let path = folder.path + "/curves.json"
        try file.write(to: path)
        return path
    }

    private func recipe(_ stage: String, before: String = "") throws -> Recipe {
        try Recipe(
            yaml: "calibration: { batch_size: 40 }\nstages:\n\(before)  - prune: { \(stage) }\n", source: "r.yaml")
    }

    private func failure(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "nothing was wrong"
        } catch { return "\(error)" }
    }

    @Test func filesComeBackAsTheyWere() throws {
        let checkpoint = try lenet()
        let file = try measured(checkpoint)
        #expect(try CurveFile.read(write(file)) == file)
        #expect(file.samples == 40 && file.method == .magnitude && file.scope == .layer)
        #expect(file.layers.map(\.multiplications) == [1, 1, 1] && file.curves[0].points[0].distortion == 0)
        #expect(file.curves.map(\.count) == [784 * 30, 30 * 10, 10 * 10])
        try file.check(against: StoredWeights(.vision(checkpoint)))
        // What a layer's pruning does is what the network says.
        let network = try checkpoint.network()
        let alone = try PrunableNetwork(network)
        let inputs = try #require(images.training).sample(40, seed: 42).batches(of: 40).map(\.inputs)
        let references = inputs.map { network.outputs($0).detached() }
        let point = file.curves[1].points[6]
        try alone.prune(by: .magnitude, allocation: ExplicitAllocation([.init("fc2", kept: point.kept)]), to: 0)
        let expected = alone.distortion(on: inputs, from: references, .mean)
        #expect(abs(point.distortion - expected) < 1e-5 * expected)
    }

    /// The stage that measures and the one that reads what was measured do the same.
    @Test func recipesByAFileDoWhatMeasuringDoes() throws {
        let checkpoint = try lenet()
        let path = try write(measured(checkpoint))
        func compress(_ options: String, _ images: CompressionImages?) throws -> CompressionReport {
            let recipe = try recipe("method: magnitude, allocation: rate-distortion, \(options)")
            let again = try Recipe(yaml: "stages: [{ \(recipe.stages[0]) }]")
            #expect(again.stages == recipe.stages)
            return try VisionCompressor(checkpoint, recipe: recipe).run(output: folder.path + "/out", images: images)
        }
        let stored = "curves: \"\(path)\""
        for sparsity in [0.9, 0.95] {
            let own = try compress("sparsity: \(sparsity), grid: 10, samples: 40", images).stageReports?[0].rates
            let read = try compress("sparsity: \(sparsity), \(stored)", nil).stageReports?[0].rates
            #expect(read == own && read?.count == 3)
            // And what analyze allocate says.
            let plan = try CurveFile.read(path).allocation().plan(sparsity: sparsity)
            #expect(plan.layers.map(\.rate) == read?.map(\.rate))
        }
        let coarse = try compress("sparsity: 0.9, \(stored), buckets: 2", nil)
        #expect(coarse.stages[0].contains("buckets: 2"))
        let plan = try CurveFile.read(path).allocation(solver: .buckets(2)).plan(sparsity: 0.9)
        #expect(plan.layers.map(\.rate) == coarse.stageReports?[0].rates?.map(\.rate))
        let worked = try compress("sparsity: 0.8, \(stored), of: multiplications, solver: exact", nil)
        #expect(worked.stageReports?[0].multiplicationsAfter == (784 * 30 + 300 + 100) / 5)
    }

    @Test func languageModelsNeedTheirTextOnce() throws {
        let checkpoint = try TinyCheckpoint.make(in: folder)
        let text = CalibrationTokens((0..<500).map { ($0 * $0 + 7 * $0) % 50 }, source: "text.txt")
        for method in [PruneStage.Method.magnitude, .wanda, .taylor] {
            var measurement = CurveMeasurement()
            (measurement.method, measurement.windowLength) = (method, 16)
            (measurement.options.grid, measurement.options.samples) = (4, 2)
            let file = try measurement.run(checkpoint, text: text)
            #expect(file.layers.count == 14 && file.scope == (method == .wanda ? .row : .layer))
            #expect(file.layers.allSatisfy { $0.multiplications == nil })
            let path = try write(file)
            let recipe = try Recipe(
                yaml: "prefer: size\ncalibration: {samples: 2, sequence_length: 16}\nstages: [{prune: {method: "
                    + "\(method.rawValue), sparsity: 0.9, allocation: rate-distortion, curves: \"\(path)\"}}]")
            #expect(recipe.needsCalibration == (method != .magnitude))
            let compressor = try Compressor(checkpoint, recipe: recipe)
            let report = try compressor.run(
                output: folder.path + "/out", calibration: method == .magnitude ? nil : text)
            let plan = try file.allocation().plan(sparsity: 0.9)
            #expect(report.stageReports?[0].rates?.map(\.rate) == plan.layers.map(\.rate))
        }
        let file = try CurveFile.read(folder.path + "/curves.json")
        #expect(
            failure { _ = try file.allocation(of: .multiplications, source: "c.json") }.hasPrefix(
                "c.json: layers[0].multiplications: is missing"))
    }

    /// Budgets hold, and no split is better than the bound says.
    @Test func plansCarryACertificate() throws {
        let file = try measured(lenet())
        let rounding = 1e-12 * file.curves.reduce(0) { $0 + ($1.points.last?.distortion ?? 0) }
        for sparsity in [0.0, 0.5, 0.9, 0.97] {
            let kept = 23_920 - ExactSelection.removedCount(23_920, sparsity: sparsity)
            let exact = try file.allocation(solver: .exact).plan(sparsity: sparsity)
            for solver in [RateDistortionProblem.Solver.exact, .buckets(64), .buckets(65_536), .lagrangian] {
                let plan = try file.allocation(solver: solver).plan(sparsity: sparsity)
                #expect(plan.kept == kept && plan.keptCost == kept && plan.totalCost == 23_920)
                #expect(plan.lowerBound <= exact.distortion + rounding && plan.lowerBound == exact.lowerBound)
                #expect(abs(plan.gap - max(0, plan.distortion - plan.lowerBound)) < 1e-12)
            }
        }
        #expect(try file.allocation().plan(sparsity: 0).distortion == 0)
        let beyond = failure { _ = try file.allocation().plan(sparsity: 0.99999) }
        #expect(beyond.contains("below the") && beyond.contains("cheapest options"))
        // What is gone stays so.
        var sparse = file
        sparse.layers[0].curve = DistortionCurve(
            name: "fc1.weight", count: 23_520, points: Array(file.curves[0].points.dropFirst(5)))
        #expect(failure { _ = try sparse.allocation().plan(sparsity: 0.3) }.contains("is below the 0.4"))
    }

    // MARK: What is refused

    @Test func curvesOfOtherWeightsAreRefusedBeforeTheWork() throws {
        let checkpoint = try lenet()
        let path = try write(measured(checkpoint))
        let output = folder.path + "/none"
        func refusal(_ stage: String, of other: VisionCheckpoint) -> String {
            failure {
                let recipe = try recipe("method: magnitude, allocation: rate-distortion, \(stage)")
                _ = try VisionCompressor(other, recipe: recipe).run(output: output)
            }
        }
        let curves = "curves: \"\(path)\""
        let others = refusal("sparsity: 0.9, \(curves)", of: try lenet(seed: 2))
        #expect(others.hasPrefix("\(path): model: the curves are of other weights, biases or"), "\(others)")
        let architecture = try VisionArchitecture(named: "lenet-300-100", widthMultiplier: 0.2)
        try VisionCheckpoint.write(architecture.makeNetwork(seed: 1), folder: folder.path + "/wider")
        let wider = refusal("sparsity: 0.9, \(curves)", of: try .open(folder.path + "/wider"))
        #expect(wider.hasPrefix("\(path): layers[0].count: 23520 weights of fc1.weight, "), "\(wider)")
        let beyond = refusal("sparsity: 0.9999, \(curves)", of: checkpoint)
        #expect(beyond.hasPrefix("r.yaml: stages[0].prune.sparsity: 0.9999 is beyond the curves of"), "\(beyond)")
        var file = try CurveFile.read(path)
        file.layers.removeLast()
        let fewer = refusal("sparsity: 0.9, curves: \"\(try write(file))\"", of: checkpoint)
        #expect(fewer.hasPrefix("\(path): curves: there is none of fc3.weight"), "\(fewer)")
        file = try measured(checkpoint)
        file.method = .snip
        let scores = refusal("sparsity: 0.9, curves: \"\(try write(file))\"", of: checkpoint)
        #expect(scores.hasPrefix("\(path): method: the curves are of method snip, expected magnitude"), "\(scores)")
        (file.method, file.scope) = (.magnitude, .row)
        let rows = refusal("sparsity: 0.9, curves: \"\(try write(file))\"", of: checkpoint)
        #expect(rows.hasPrefix("\(path): scope: the curves are of scope row, expected layer"), "\(rows)")
        #expect(refusal("sparsity: 0.9, curves: /nowhere.json", of: checkpoint).hasPrefix("/nowhere.json"))
        #expect(!FileManager.default.fileExists(atPath: output))
    }

    /// Outputs depend on biases and running statistics, so curves do; a mask does not.
    @Test func curvesOfOtherBiasesOrStatisticsAreRefused() throws {
        let network = try VisionArchitecture(named: "resnet8", widthMultiplier: 0.25).makeNetwork(seed: 1)
        func stored(_ name: String) throws -> VisionCheckpoint {
            let path = folder.path + "/\(name)"
            try VisionCheckpoint.write(network, folder: path)
            return try .open(path)
        }
        var measurement = CurveMeasurement()
        (measurement.options.calibration, measurement.options.grid, measurement.options.samples) = (.gaussian, 2, 2)
        let first = try stored("first")
        let file = try measurement.run(first, images: nil)
        let masks = try MaskFile(smallestOf: StoredWeights(.vision(first)), sparsity: 0.5)
        func check(_ name: String) throws -> String {
            let weights = try StoredWeights(.vision(stored(name)))
            try masks.check(against: weights)
            return failure { try file.check(against: weights, source: "c.json") }
        }
        #expect(try check("same") == "nothing was wrong")
        let bias = try #require(network.parameters.first { $0.name == "fc.bias" }?.parameter)
        bias.wrappedValue = bias.wrappedValue.detached() + 1
        let refusal = "c.json: model: the curves are of other weights, biases or statistics than those of "
        #expect(try check("bias").hasPrefix(refusal))
        bias.wrappedValue = bias.wrappedValue.detached() - 1
        let mean = try #require(network.stateTensors.first { $0.name.hasSuffix("running_mean") }?.state)
        mean.wrappedValue = mean.wrappedValue + 1
        #expect(try check("mean").hasPrefix(refusal))
    }

    @Test(arguments: [
        ("curves: c.json, grid: 5", "grid: is what curves are measured by"),
        ("curves: c.json, calibration: data", "calibration: is what curves are measured by"),
        ("curves: c.json, schedule: { kind: one-shot, rounds: 2 }", "curves: curves of a file are those of the model"),
        ("curves: c.json, schedule: { kind: iterative, levels: 2 }", "curves: curves of a file are those of the"),
        ("buckets: 0", "buckets: expected a whole number from 1"),
        ("buckets: 9, solver: exact", "buckets: goes with solver buckets alone"),
    ])
    func mistakesOfRecipesAreNamed(options: String, message: String) {
        let found = failure {
            _ = try recipe("method: magnitude, sparsity: 0.5, allocation: rate-distortion, \(options)")
        }
        #expect(found.contains(message), "\(found)")
    }

    @Test func curvesComeBeforeOtherStages() throws {
        let own = "method: magnitude, sparsity: 0.5, allocation: rate-distortion, curves: c.json"
        let found = failure { _ = try recipe(own, before: "  - prune: { method: magnitude, sparsity: 0.2 }\n") }
        #expect(found.contains("expected no stage before this one (stage 0 is a prune stage)"), "\(found)")
        let lone = failure { _ = try recipe("method: magnitude, sparsity: 0.5, curves: c.json") }
        #expect(lone.contains("curves: goes with allocation rate-distortion alone"), "\(lone)")
    }

    /// A file with a member changed.
    private func text(_ change: (inout String) -> Void) throws -> String {
        let points = [100, 60, 10].map { DistortionCurve.Point(kept: $0, distortion: Double(100 - $0)) }
        var file = CurveFile(
            [
                .init(DistortionCurve(name: "a.weight", count: 100, points: points), multiplications: 9),
                .init(DistortionCurve(name: "b.weight", count: 100, points: points)),
            ], modelDigest: String(repeating: "ab", count: 32))
        file.samples = 8
        var text = file.json.serialized()
        change(&text)
        return text
    }

    @Test(arguments: [
        ("distortion-curves", "masks", ": is no file of curves, expected format"),
        ("\"version\":2", "\"version\":3", "version: expected 2"),
        ("\"version\":2", "\"version\":1", "expected 2: measure them anew (analyze curves)"),
        ("abab", "abAb", "model: expected a SHA-256 digest"),
        ("\"layers\":[", "\"layers\":7,\"_\":[", "layers: expected a list of at least one layer"),
        ("a.weight", "", "layers[0].name: expected the name of a weight"),
        ("b.weight", "a.weight", "layers[1].name: a.weight occurs twice"),
        ("\"count\":100", "\"count\":0", "layers[0].count: expected a whole number from 1"),
        ("\"count\":100", "\"count\":1e300", "layers[0].count: expected a whole number from 1"),
        ("\"count\":100", "\"count\":90", "layers[0].kept[0]: expected a whole number from 0 to 90"),
        ("\"multiplications\":9", "\"multiplications\":0", "layers[0].multiplications: expected a whole number from 1"),
        ("[100,60,10]", "[100,60,60]", "layers[0].kept[2]: expected a whole number from 0 to 59"),
        ("[100,60,10]", "[100,60,-1]", "layers[0].kept[2]: expected a whole number"),
        ("[100,60,10]", "[1,0,0]", "layers[0].kept[2]: expected nothing after a 0"),
        ("[100,60,10]", "[100,60]", "layers[0].distortion: has 3 numbers, expected 2"),
        ("[100,60,10]", "[]", "layers[0].kept: has 0 counts"),
        ("[0.0,40.0,90.0]", "[0.0,-1.0,90.0]", "layers[0].distortion[1]: expected a number from 0"),
        ("[0.0,40.0,90.0]", "[0.0,\"NaN\",90.0]", "layers[0].distortion[1]: expected a number"),
        ("[0.0,40.0,90.0]", "[0.0,null,90.0]", "layers[0].distortion[1]: expected a number"),
        ("[0.0,40.0,90.0]", "[0.0,1e200,90.0]", "layers[0].distortion[1]: expected a number from 0 to 1e100"),
        ("[0.0,40.0,90.0]", "[0.0,NaN,90.0]", "expected a value, found"),
        ("\"method\":\"magnitude\"", "\"method\":\"magic\"", "method: expected one of magnitude, "),
        ("\"scope\":\"layer\"", "\"scope\":1", "scope: expected one of layer, "),
        ("\"samples\":8", "\"samples\":-8", "samples: expected a whole number"),
        ("\"seed\":42", "\"seed\":0.5", "seed: expected a whole number"),
    ])
    func damagedFilesNameTheField(old: String, new: String, message: String) throws {
        let text = try text { text in
            guard let range = text.range(of: old) else { return }
            text.replaceSubrange(range, with: new)
        }
        let found = failure { _ = try CurveFile(JSON(text: text, source: "c.json"), source: "c.json") }
        #expect(found.hasPrefix("c.json") && found.contains(message) && !found.contains("\n"), "\(found)")
    }

    @Test func everyTruncationIsRefused() throws {
        let text = try text { _ in }
        _ = try CurveFile(JSON(text: text, source: "c.json"), source: "c.json")
        for length in stride(from: 0, to: text.utf8.count - 1, by: 7) {
            let path = folder.path + "/short.json"
            try String(text.prefix(length)).write(toFile: path, atomically: true, encoding: .utf8)
            #expect(failure { _ = try CurveFile.read(path) }.hasPrefix(path))
        }
        // Costs that no number holds.
        let huge = text.replacingOccurrences(of: "\"count\":100", with: "\"count\":\(1 << 40)")
            .replacingOccurrences(of: "\"multiplications\":9", with: "\"multiplications\":\(1 << 40)")
        let found = failure { _ = try CurveFile(JSON(text: huge, source: "c.json"), source: "c.json") }
        #expect(found == "c.json: layers[0].count: the model's cost is more than can be counted")
    }

    @Test func measurementsThatCannotBeAreRefused() throws {
        let checkpoint = try lenet()
        func refusal(_ change: (inout CurveMeasurement) -> Void, _ images: CompressionImages? = nil) -> String {
            var measurement = CurveMeasurement()
            change(&measurement)
            return failure { _ = try measurement.run(checkpoint, images: images) }
        }
        #expect(refusal { _ in }.hasPrefix("images: curves are measured on training images, and there are none"))
        #expect(
            refusal { ($0.method, $0.options.calibration) = (.snip, .gaussian) }.hasPrefix(
                "images: method snip looks at gradients, and there are no labelled"))
        #expect(
            refusal { ($0.method, $0.options.calibration) = (.wanda, .gaussian) }
                == "images: method wanda looks at activations, and there are no training images")
        #expect(refusal { $0.method = .sparseGPT }.hasPrefix("method: sparsegpt scores no single weights"))
        #expect(refusal { $0.method = .bip }.hasPrefix("method: bip scores no single weights, expected one of "))
        #expect(
            refusal({ $0.selection = WeightSelection(ignore: [WeightPattern("fc9")]) }, images).contains(
                "curves.ignore: \"fc9\" matches no matrix"))
        var measurement = CurveMeasurement()
        (measurement.options.calibration, measurement.options.grid, measurement.options.samples) = (.gaussian, 3, 4)
        #expect(try measurement.run(checkpoint, images: nil).calibration == .gaussian)
    }
}
