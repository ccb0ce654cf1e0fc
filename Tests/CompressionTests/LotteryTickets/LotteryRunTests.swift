import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Synchronization
import Testing

/// Searches for tickets in folders: the same as in memory, whatever interrupts them.
@Suite struct LotteryRunTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try DrawnImageFolder.write(100, test: 60, to: folder.path + "/images")
    }

    private func recipe(
        _ rest: String = "", model: String = "architecture: lenet-300-100, width_multiplier: 0.1", seed: Int = 3,
        images: String = "validation: 0", lastRate: Double = 0.1
    ) throws -> ClassificationRecipe {
        try ClassificationRecipe(
            yaml: """
                seed: \(seed)
                model: { \(model) }
                images: { directory: \(folder.path)/images, \(images) }
                optimizer: { learning_rate: 0.05 }
                schedule: { minimum_ratio: \(lastRate) }
                training: { epochs: 2, batch_size: 20\(rest) }
                """, source: "r.yaml")
    }

    private var settings: LotterySettings {
        var settings = LotterySettings()
        (settings.levels, settings.pruneFraction, settings.rewind) = (2, 0.4, .step(3))
        settings.branches = LotterySettings.Branch.allCases
        return settings
    }

    private func run(
        _ name: String, _ settings: LotterySettings? = nil, _ recipe: ClassificationRecipe? = nil,
        resumes: Bool = false,
        progress: any ProgressReporter = SilentProgress(), interruption: TrainingInterruption = TrainingInterruption()
    ) throws -> LotteryResults {
        try LotteryRun(
            recipe ?? self.recipe(), settings ?? self.settings,
            options: .init(output: folder.path + "/" + name, resumes: resumes)
        ).execute(progress: progress, interruption: interruption)
    }

    /// Every file that a run keeps, by its path.
    private func content(_ name: String) throws -> [String: Data] {
        let root = folder.path + "/" + name
        let paths = try FileManager.default.subpathsOfDirectory(atPath: root)
        return Dictionary(
            uniqueKeysWithValues: paths.compactMap { path in
                FileManager.default.contents(atPath: root + "/" + path).map { (path, $0) }
            })
    }

    /// Requests an end whenever so many steps more were taken.
    private final class Stop: ProgressReporter {
        let interruption = TrainingInterruption()
        private let counts: Mutex<(begun: Int, seen: Int, total: Int)>
        private let limit: Int

        init(after limit: Int) {
            self.limit = limit
            counts = Mutex((0, 0, 0))
        }

        var begun: Int { counts.withLock { $0.begun } }
        var taken: Int { counts.withLock { $0.seen - $0.begun } }
        var total: Int { counts.withLock { $0.total } }

        func begin(_ title: String, total: Int, completed: Int, unit: String) {
            counts.withLock { $0 = (completed, completed, total) }
        }
        func advance(to completed: Int, note: String) {
            let taken = counts.withLock { counts -> Int in
                counts.seen = completed
                return completed - counts.begun
            }
            if taken >= limit { interruption.request() }
        }
        func report(_ line: String) {}
        func end(_ summary: String) {}
    }

    // MARK: -

    /// Masks, weights and accuracies of a run are those of the library's search, bit for bit.
    @Test func isTheSearchInMemory() throws {
        let results = try run("run")
        #expect(results.isComplete && results.totalSteps == 10 && results.rewindStep == 3)
        let recipe = try recipe()
        let training = try ImageDataSet.open(folder.path + "/images", split: .train)
        let test = try ImageDataSet.open(folder.path + "/images", split: .test)
        let architecture = try VisionArchitecture(
            named: "lenet-300-100", classes: training.classCount, inputChannels: 1, imageSize: [28, 28],
            widthMultiplier: 0.1)
        let network = architecture.makeNetwork(seed: recipe.seed)
        let prunable = try PrunableNetwork(network)
        let rates = LearningRateSchedule(
            kind: .cosine, peak: 0.05, warmupSteps: 0, minimumRatio: 0.1, totalSteps: 10)
        let method = try IterativePruning(
            training: SupervisedTraining(optimizer: SGD(momentum: 0.9, weightDecay: 5e-4), rates: rates), rewindStep: 3,
            pruneFraction: 0.4)
        let batches = ImageBatches(training, batchSize: 20, seed: recipe.seed)
        let rewound = try method.trainToRewindStep(network, on: batches)
        let (tickets, dense) = try method.tickets(prunable, levels: 2, rewound: rewound, on: batches)
        let root = folder.path + "/run/replicate-1/"
        func stored(_ piece: String) throws -> any VisionNetwork { try VisionCheckpoint.open(root + piece).network() }
        func expect(_ piece: String, _ snapshot: Snapshot) throws {
            snapshot.restore(network)
            #expect(numbers(of: try stored(piece)) == numbers(of: network), "\(piece)")
        }
        prunable.setMasks(prunable.masks.map { WeightMask(keepingAllOf: $0.rows, $0.columns) })
        try expect("rewound", rewound)
        try expect("dense", dense)
        func accuracy(_ piece: String) throws -> Double? {
            Classification.measure(try stored(piece), on: test)?.accuracy
        }
        #expect(results.replicates[0].dense?.accuracy == (try accuracy("dense")))
        let other = architecture.makeNetwork(seed: recipe.seed ^ 0x9E37_79B9_7F4A_7C15)
        let branches: [(String, LotterySettings.Branch?, TicketBranch)] = [
            ("trained", nil, .rewound), ("reinit", .reinit, .reinitialized(Snapshot(of: other))),
            ("shuffle", .shuffle, .shuffled(seed: recipe.seed)), ("finetune", .finetune, .fineTuned),
            ("lr-rewind", .learningRateRewind, .learningRateRewound), ("one-shot", .oneShot, .oneShot(dense: dense)),
        ]
        var kept = prunable.count
        for (place, ticket) in tickets.enumerated() {
            let level = results.replicates[0].levels[place]
            kept -= Int((0.4 * Double(kept)).rounded(.up))
            #expect(level.kept == kept && ticket.keptCount == kept && level.number == place + 1)
            let file = try MaskFile.read(root + "level-\(place + 1)/mask.safetensors")
            #expect(file.entries.map(\.mask) == ticket.masks)
            try file.check(against: .open(root + "rewound"))
            // What a level starts from is W_k under the mask.
            rewound.restore(network)
            prunable.setMasks(ticket.masks)
            #expect(numbers(of: try stored("level-\(place + 1)/ticket")) == numbers(of: network))
            for (piece, branch, own) in branches {
                try method.train(own, of: ticket, in: prunable, on: batches)
                let path = "level-\(place + 1)/\(piece)"
                #expect(numbers(of: try stored(path)) == numbers(of: network), "\(path)")
                let measure = branch.map { level.branches[$0] } ?? level.ticket
                #expect(measure?.accuracy == (try accuracy(path)), "\(path)")
            }
        }
        #expect(results.accuracies(at: 2) == [try accuracy("level-2/trained")])
        #expect(results.density(at: 1).map { abs($0 - 0.6) < 1e-3 } == true)
    }

    /// With the same fraction of each layer, the mask by one pruning has as many weights in each as the ticket.
    @Test func oneShotMasksAreSharedOutAsTickets() throws {
        var settings = settings
        settings.branches = [.oneShot]
        func keptCounts(_ scope: PruningScope, _ piece: String) throws -> [Int] {
            settings.scope = scope
            let name = "one-shot-\(scope.rawValue)"
            if !FileManager.default.fileExists(atPath: folder.path + "/" + name) { _ = try run(name, settings) }
            let network = try VisionCheckpoint.open(folder.path + "/\(name)/replicate-1/level-2/\(piece)").network()
            let prunable = try PrunableNetwork(network)
            return prunable.weights.indices.map { prunable.values($0).floats().count { $0 != 0 } }
        }
        #expect(try keptCounts(.layer, "one-shot") == keptCounts(.layer, "trained"))
        let (once, ticket) = (try keptCounts(.global, "one-shot"), try keptCounts(.global, "trained"))
        #expect(once.reduce(0, +) == ticket.reduce(0, +))
        #expect(try keptCounts(.layer, "one-shot") != once)
    }

    /// Going on at a rate of zero would be no training.
    @Test func fineTuningNeedsALastRate() throws {
        #expect {
            _ = try run("still", settings, recipe(lastRate: 0))
        } throws: { "\($0)".contains("branches: finetune goes on at the last learning rate, which is 0") }
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/still"))
        var others = settings
        others.branches = [.shuffle]
        #expect(try run("moving", others, recipe(lastRate: 0)).isComplete)
    }

    /// Stopped every thirteen steps, and gone on with each time, a run writes the same bytes.
    @Test func interruptedAndResumedWritesTheSameBytes() throws {
        var settings = settings
        settings.branches = [.reinit, .finetune, .oneShot]
        let whole = try run("whole", settings)
        var results = whole
        var parts = 0
        repeat {
            let stop = Stop(after: 13)
            results = try run("parts", settings, resumes: true, progress: stop, interruption: stop.interruption)
            parts += 1
            // 10 steps densely (3 to step k); at each level 10 of other weights and 7 of what rewinds.
            #expect(stop.total == 10 + 2 * (3 * 7 + 10) && stop.begun == 13 * (parts - 1))
            #expect(results.isComplete ? stop.begun + stop.taken == stop.total : stop.taken == 13)
        } while !results.isComplete && parts < 20
        #expect(results.isComplete && parts == 6)
        let (own, other) = (try content("parts"), try content("whole"))
        #expect(own.keys.sorted() == other.keys.sorted())
        for (path, data) in other { #expect(own[path] == data, "\(path)") }
        #expect(own["training/state.json"] == nil)
        #expect(results.accuracies(at: 2) == whole.accuracies(at: 2))
        // Complete, it trains nothing more.
        let stop = Stop(after: 1)
        let again = try run("parts", settings, resumes: true, progress: stop, interruption: stop.interruption)
        #expect(again.isComplete && stop.taken == 0 && stop.begun == stop.total)
        #expect(again.replicates[0].levels[1].branches == whole.replicates[0].levels[1].branches)
    }

    /// What is taken out of a finished run is made again as it was.
    @Test func anyLevelIsMadeAgain() throws {
        var settings = settings
        settings.branches = [.shuffle]
        _ = try run("run", settings)
        let before = try content("run")
        for piece in ["level-1", "level-2/mask.safetensors", "dense", "rewound"] {
            try FileManager.default.removeItem(atPath: folder.path + "/run/replicate-1/" + piece)
            let results = try run("run", settings, resumes: true)
            #expect(results.isComplete)
            let after = try content("run")
            #expect(after.keys.sorted() == before.keys.sorted(), "\(piece)")
            for (path, data) in before { #expect(after[path] == data, "\(piece): \(path)") }
        }
    }

    @Test func replicatesHaveSeedsOfTheirOwn() throws {
        var two = settings
        (two.replicates, two.branches, two.levels) = (2, [], 1)
        let results = try run("two", two)
        #expect(results.replicates.map(\.seed) == [3, 4])
        var one = two
        one.replicates = 1
        _ = try run("one", one, recipe(seed: 4))
        let (second, alone) = (try content("two/replicate-2"), try content("one/replicate-1"))
        #expect(second == alone)
        #expect(try content("two/replicate-1")["rewound/model.safetensors"] != second["rewound/model.safetensors"])
    }

    @Test func layersLoseTheSamePartAndIgnoredOnesNone() throws {
        var own = settings
        (own.scope, own.ignore, own.branches) = (.layer, ["fc3"], [])
        let results = try run("layers", own)
        #expect(results.layers == ["fc1.weight", "fc2.weight"])
        for (place, count) in [784 * 30, 30 * 10].enumerated() {
            var kept = count
            for level in results.replicates[0].levels {
                kept -= Int((0.4 * Double(kept)).rounded(.up))
                #expect(abs(level.layerDensities[place] - Double(kept) / Double(count)) < 1e-12)
            }
        }
        let file = try MaskFile.read(folder.path + "/layers/replicate-1/level-2/mask.safetensors")
        #expect(file.entries.map(\.name) == results.layers)
    }

    /// `fc` of a ResNet is `linear` in some files: of a new network, and of one that is read from such a file.
    @Test func otherNamesOfWeightsAreKnown() throws {
        let path = folder.path + "/linear"
        let network = try VisionArchitecture(
            named: "resnet8", classes: 10, inputChannels: 1, imageSize: [28, 28], widthMultiplier: 0.25
        ).makeNetwork(seed: 2)
        try VisionCheckpoint.write(network, folder: path)
        let tensors =
            network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) }
            + network.stateTensors.map { ($0.name, $0.state.wrappedValue) }
        try SafetensorsWriter.write(
            tensors.map { .init($0.0.replacingOccurrences(of: "fc.", with: "linear."), $0.1) },
            to: path + "/model.safetensors")
        var own = settings
        (own.levels, own.branches, own.rewind) = (1, [], .step(0))
        func layers(_ name: String, _ model: String, _ ignore: [String]) throws -> [String] {
            own.ignore = ignore
            return try run(name, own, recipe(model: model)).layers
        }
        let new = "architecture: resnet8, width_multiplier: 0.25"
        let all = try layers("all", new, [])
        #expect(all.count == 8 && all.last == "fc.weight")
        #expect(
            try layers("new", new, ["linear", "layer2.0"]) == all.filter { $0 != "fc.weight" && !$0.contains("layer2") }
        )
        #expect(try layers("read", "weights: \(path)", ["linear"]) == Array(all.dropLast()))
        #expect(failure { try layers("bad", new, ["linera"]) }.contains("\"linera\" matches no prunable weight"))
    }

    @Test func accuracyIsOfTheBestImagesThereAre() throws {
        var own = settings
        (own.levels, own.branches) = (1, [])
        let both = try run("both", own, recipe(images: "validation: 0.2"))
        #expect(both.measuredOn.hasPrefix("60 test images"))
        #expect(both.replicates[0].dense?.count == 60 && both.replicates[0].dense?.validationAccuracy != nil)
        try FileManager.default.removeItem(atPath: folder.path + "/images/t10k-images-idx3-ubyte")
        try FileManager.default.removeItem(atPath: folder.path + "/images/t10k-labels-idx1-ubyte")
        let held = try run("held", own, recipe(images: "validation: 0.2"))
        #expect(held.measuredOn.hasPrefix("20 held-out images") && held.replicates[0].dense?.count == 20)
        #expect(failure { try run("none", own) }.contains("r.yaml: images.validation: is 0 and there are no test"))
    }

    // MARK: Mistakes

    private func failure(_ body: () throws -> Any) -> String {
        do {
            _ = try body()
            return "nothing was wrong"
        } catch { return "\(error)" }
    }

    @Test func resumingNeedsTheSameRun() throws {
        var own = settings
        (own.levels, own.branches) = (1, [])
        _ = try run("run", own)
        #expect(failure { try run("run", own) }.contains("holds a lottery run; go on with it by --resume"))
        func resumed(_ change: (inout LotterySettings) -> Void, _ recipe: ClassificationRecipe? = nil) -> String {
            var other = own
            change(&other)
            return failure { try run("run", other, recipe, resumes: true) }
        }
        #expect(resumed { _ in } == "nothing was wrong")
        #expect(resumed { $0.levels = 2 }.contains("run: --levels: is \"2\", and was \"1\" when the run was started"))
        #expect(resumed { $0.pruneFraction = 0.3 }.contains("--prune-fraction: is \"0.3\", and was \"0.4\""))
        #expect(resumed { $0.rewind = .epochs(0.4) }.contains("--rewind: is \"0.4ep\", and was \"3it\""))
        #expect(resumed { $0.scope = .layer }.contains("--pruning-strategy: is \"layer\""))
        #expect(resumed { $0.ignore = ["fc3"] }.contains("--ignore: is \"fc3\", and was \"\""))
        #expect(resumed { $0.replicates = 2 }.contains("--replicates: is \"2\""))
        #expect(resumed { $0.branches = [.reinit] }.contains("--branches: is \"reinit\""))
        let slower = try recipe(", label_smoothing: 0.1")
        #expect(
            resumed({ _ in }, slower).contains(
                "r.yaml: training.label_smoothing: is 0.1, and 0.0 in the recipe that the run was started with"))
        #expect(resumed({ _ in }, try recipe(seed: 9)).contains("r.yaml: seed: is 9, and 3"))
        try DrawnImageFolder.write(80, test: 60, to: folder.path + "/images")
        #expect(resumed { _ in }.contains("does not hold the images that the run was started with"))
    }

    @Test func settingsOutOfRangeAreNamed() throws {
        func message(_ change: (inout LotterySettings) -> Void) -> String {
            var own = settings
            change(&own)
            return failure { try run("bad", own) }
        }
        #expect(message { $0.levels = 0 }.contains("levels: 0, expected 1 to 1000"))
        #expect(message { $0.replicates = 0 }.contains("replicates: 0"))
        #expect(message { $0.pruneFraction = 1 }.contains("prune-fraction: 1.0, expected a number between 0 and 1"))
        #expect(message { $0.pruneFraction = 0 }.contains("prune-fraction"))
        #expect(message { $0.rewind = .step(10) }.contains("rewind: 10, expected a step of training, from 0 to 9"))
        #expect(message { $0.rewind = .epochs(2) }.contains("rewind: 10, expected"))
        #expect(message { $0.ignore = ["fd1"] }.contains("\"fd1\" matches no prunable weight"))
        #expect(message { ($0.levels, $0.pruneFraction) = (9, 0.95) }.contains("levels: 9, expected at most 3"))
        #expect(
            failure { try run("bad", nil, recipe(", patience: 2", images: "validation: 0.1")) }.contains(
                "training.patience"))
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/bad"))
        try FileManager.default.createDirectory(atPath: folder.path + "/own", withIntermediateDirectories: true)
        try Data("mine".utf8).write(to: URL(fileURLWithPath: folder.path + "/own/notes.txt"))
        #expect(failure { try run("own", resumes: true) }.contains("is not the folder of a lottery run"))
        let sparse = folder.path + "/sparse"
        let network = try VisionArchitecture(named: "lenet-300-100", widthMultiplier: 0.1).makeNetwork(
            seed: 1)
        try PrunableNetwork(network).prune(by: .magnitude, to: 0.5)
        try VisionCheckpoint.write(network, folder: sparse)
        #expect(failure { try run("bad", nil, recipe(model: "weights: \(sparse)")) }.contains("model.weights"))
    }

    @Test func damagedPiecesAreNamed() throws {
        var own = settings
        (own.levels, own.branches) = (2, [])
        _ = try run("run", own)
        let root = folder.path + "/run/"
        func broken(_ file: String, _ text: String = "{") -> String {
            let path = root + file
            let before = FileManager.default.contents(atPath: path)
            try? Data(text.utf8).write(to: URL(fileURLWithPath: path))
            defer { try? before?.write(to: URL(fileURLWithPath: path)) }
            return failure { try run("run", own, resumes: true) }
        }
        #expect(broken("run.json").contains("run.json: is damaged"))
        #expect(broken("replicate-1/dense/result.json").contains("result.json: is damaged"))
        let stop = Stop(after: 5)
        _ = try run("stopped", own, progress: stop, interruption: stop.interruption)
        let state = folder.path + "/stopped/training/state.json"
        let text = try String(contentsOfFile: state, encoding: .utf8)
        for (wrong, message) in [
            (
                text.replacingOccurrences(of: "\"step\" : 5", with: "\"step\" : 99"),
                "step: 99 of phase 1, expected 3 to 10"
            ),
            (text.replacingOccurrences(of: "\"phase\" : 1", with: "\"phase\" : 7"), "step: 5 of phase 7"),
            ("", "is damaged"),
        ] {
            try wrong.write(toFile: state, atomically: true, encoding: .utf8)
            #expect(failure { try run("stopped", own, resumes: true) }.contains("state.json: " + message), "\(message)")
        }
        #expect(broken("replicate-1/level-1/mask.safetensors").contains("mask.safetensors"))
        #expect(broken("replicate-1/rewound/model.safetensors").contains("rewound/model.safetensors"))
        // A mask of another search.
        _ = try run("other", own, recipe(seed: 5))
        let (file, other) = ("replicate-1/level-1/mask.safetensors", folder.path + "/other/")
        try FileManager.default.removeItem(atPath: root + file)
        try FileManager.default.copyItem(atPath: other + file, toPath: root + file)
        #expect(failure { try run("run", own, resumes: true) }.contains("is the mask of other weights"))
    }

    @Test func rewindPointsAreRead() throws {
        for (text, point, step) in [
            ("0", RewindPoint.step(0), 0), ("500it", .step(500), 500), ("12", .step(12), 12),
            ("0.5ep", .epochs(0.5), 25), ("2%", .share(0.02), 4), ("0.6%", .share(0.006), 1),
        ] {
            let own = try RewindPoint(text)
            #expect(own == point && own.step(of: 200, epochSteps: 49.9) == step, "\(text)")
            #expect(try RewindPoint(own.description) == own)
        }
        for text in ["", "it", "-1", "1.5", "ep", "-1ep", "100%", "nan%", "infep", "3 it", "5x"] {
            #expect(throws: CoppiceError.self, "\(text)") { try RewindPoint(text) }
        }
    }
}
