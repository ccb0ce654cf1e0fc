import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Synchronization

/// What was trained for the experiment, seed by seed.
package struct GrokkingTicketsMeasurement: Sendable {
    /// One dense run and what is compared with it.
    package struct Trial: Sendable {
        var seed: UInt64
        var dense: GrokkingStudy.Dense
        var outcomes: [GrokkingOutcome]
        /// Scores trained on the frozen weights of the first source step; nil where not measured.
        var edgePopup: GrokkingCurve?
        /// Embedding spectra by step; empty where not measured.
        var spectra: [(step: Int, spectrum: FourierSpectrum)]
        /// |A ∩ B| / |A ∪ B| of the ticket of a step and the final one, by step.
        var overlaps: [(step: Int, overlap: Double)]
        var pruning: PruningCurve?

        package init(
            seed: UInt64, dense: GrokkingStudy.Dense, outcomes: [GrokkingOutcome] = [], edgePopup: GrokkingCurve? = nil
        ) {
            self.seed = seed
            self.dense = dense
            self.outcomes = outcomes
            self.edgePopup = edgePopup
            (spectra, overlaps) = ([], [])
        }

        func outcome(_ start: GrokkingArm.Start, kept: Double = GrokkingTickets.Size.kept, decay: Double = 1)
            -> GrokkingOutcome?
        {
            outcomes.first { $0.arm.start == start && $0.arm.kept == kept && $0.arm.weightDecay == decay }
        }
    }

    var size: GrokkingTickets.Size
    var taskName: String
    var weightCount: Int
    /// The perceptron, a trial for each seed.
    var trials: [Trial]
    /// The transformer, the first seed; nil where it was not trained.
    var transformer: Trial?
    /// Images, the first seed; nil where there are none.
    var images: Trial?

    /// What was measured elsewhere.
    package init(
        size: GrokkingTickets.Size, taskName: String, weightCount: Int, trials: [Trial], transformer: Trial? = nil,
        images: Trial? = nil
    ) {
        self.size = size
        self.taskName = taskName
        self.weightCount = weightCount
        self.trials = trials
        self.transformer = transformer
        self.images = images
    }

    /// - Parameter dataFolder: where MNIST is; nil for no images.
    /// - Throws: `.noInput` for a folder without MNIST; what training throws.
    init(
        seeds: [UInt64], size: GrokkingTickets.Size, dataFolder: String?, progress: any ProgressReporter
    ) throws {
        self.size = size
        let shown = Mutex(0)
        @Sendable func say(_ line: String) { shown.withLock { _ in progress.report(line) } }
        let first = try Plan(size: size, seed: seeds[0], kind: .perceptron).settings.makeTask()
        taskName = first.name
        weightCount = first.makeNetwork(0).parameterCount

        let plans =
            seeds.map { Plan(size: size, seed: $0, kind: .perceptron) }
            + [Plan(size: size, seed: seeds[0], kind: .transformer)]
            + (dataFolder == nil ? [] : [Plan(size: size, seed: seeds[0], kind: .images, dataFolder: dataFolder)])
        // What is missing is said before anything is trained.
        if let dataFolder { _ = try ImageDataSet.open(PublishedData.mnist.locate(in: dataFolder), split: .train) }
        progress.report("\(taskName), \(weightCount) weights, \(size.settings.steps) steps at most")
        // The last runs are the longest: first.
        let order = plans.indices.reversed().map { $0 }
        progress.begin("dense networks", total: plans.count, unit: "runs")
        let runs = try sideBySide(order) { index in
            let plan = plans[index]
            let dense = try plan.study().dense(sourceSteps: Set(plan.keptSteps))
            say("\(plan.name): dense \(Self.words(dense.outcome.curve))")
            return dense
        }
        progress.end("done")
        let denses = Array(runs.reversed())

        let jobs = plans.indices.flatMap { index in
            plans[index].arms(after: denses[index]).map { Job(plan: index, arm: $0) }
        }.sorted { $0.arm.steps > $1.arm.steps }
        progress.begin("arms", total: jobs.count, unit: "runs")
        let finished = Mutex(0)
        let outcomes = try sideBySide(jobs) { job in
            let outcome = try plans[job.plan].study().run(job.arm, after: denses[job.plan])
            let count = finished.withLock { done -> Int in
                done += 1
                return done
            }
            say("\(plans[job.plan].name): \(job.arm.name) \(Self.words(outcome.curve))")
            shown.withLock { _ in progress.advance(to: count, note: job.arm.name) }
            return outcome
        }
        progress.end("done")

        let extras = try sideBySide(Array(plans.indices)) { try plans[$0].extras(of: denses[$0]) }
        let all = plans.indices.map { index -> Trial in
            var trial = extras[index]
            trial.outcomes = zip(jobs, outcomes).filter { $0.0.plan == index }.map(\.1)
                .sorted { $0.arm.name < $1.arm.name }
            return trial
        }
        trials = Array(all.prefix(seeds.count))
        transformer = zip(plans, all).first { $0.0.kind == .transformer }?.1
        images = zip(plans, all).first { $0.0.kind == .images }?.1
    }

    private struct Job: Sendable {
        var plan: Int
        var arm: GrokkingArm
    }

    private static func words(_ curve: GrokkingCurve) -> String {
        let (train, test) = (curve.trainStep.map(String.init) ?? "never", curve.testStep.map(String.init) ?? "never")
        return "memorizes at \(train), generalizes at \(test)"
    }

    /// What one seed of one network trains.
    private struct Plan: Sendable {
        var size: GrokkingTickets.Size
        var seed: UInt64
        var kind: Kind
        var dataFolder: String?

        enum Kind: String, Sendable {
            case perceptron, transformer, images
        }

        var name: String { "\(kind.rawValue), seed \(seed)" }

        var settings: GrokkingSettings {
            var settings = kind == .images ? size.imageSettings : size.settings
            settings.seed = seed
            if kind == .transformer { (settings.model, settings.embeddingSize) = (.transformer, 128) }
            return settings
        }

        func study() throws -> GrokkingStudy {
            GrokkingStudy(
                task: try settings.makeTask(dataFolder: dataFolder), training: settings.training, seed: seed)
        }

        /// Every 500 steps or so for overlaps, and those of tickets.
        var keptSteps: [Int] {
            guard kind == .perceptron else { return [] }
            let spacing = max(1, size.sourceSteps[0])
            return size.sourceSteps + stride(from: spacing, through: settings.steps, by: spacing)
        }

        func arms(after dense: GrokkingStudy.Dense) -> [GrokkingArm] {
            let kept = GrokkingTickets.Size.kept
            let length = dense.outcome.curve.testStep ?? dense.lastStep
            if kind != .perceptron {
                return [
                    GrokkingArm(.ticket(step: nil), kept: kept, steps: length),
                    GrokkingArm(.matchedNorm(.l1), kept: kept, steps: length),
                    GrokkingArm(.matchedNorm(.l2), kept: kept, steps: length),
                    GrokkingArm(.random, kept: kept, steps: length),
                ]
            }
            return GrokkingArm.controls(
                kept: kept, testStep: length, sourceSteps: size.sourceSteps.filter { $0 < dense.lastStep },
                stepsWithoutDecay: size.stepsWithoutDecay)
        }

        /// What is measured beside the arms.
        func extras(of dense: GrokkingStudy.Dense) throws -> Trial {
            var trial = Trial(seed: seed, dense: dense)
            guard kind == .perceptron, let last = dense.checkpoints[dense.lastStep] else { return trial }
            let task = try settings.makeTask()
            let network = task.makeNetwork(seed)
            func embedding() -> FourierSpectrum { FourierSpectrum(of: network.parameters[0].parameter.wrappedValue) }
            last.restore(network)
            let final = try GrokkingTicket.masks(of: network, kept: GrokkingTickets.Size.kept)
            trial.pruning = try PruningCurve(of: network, on: task, spacing: 0.01)
            dense.initial.restore(network)
            for (step, weights) in [(0, dense.initial)] + dense.checkpoints.sorted(by: { $0.key < $1.key }) {
                weights.restore(network)
                trial.spectra.append((step, embedding()))
                let masks = try GrokkingTicket.masks(of: network, kept: GrokkingTickets.Size.kept)
                trial.overlaps.append((step, GrokkingTicket.agreement(masks, final).jaccard))
            }
            if let memorized = size.sourceSteps.first.flatMap({ dense.checkpoints[$0] }) {
                memorized.restore(network)
                var search = EdgePopup(kept: GrokkingTickets.Size.kept, steps: size.edgePopupSteps)
                search.interval = settings.interval
                search.stopAccuracy = 0.95
                trial.edgePopup = try search.run(network, on: task, seed: seed).curve
            }
            return trial
        }
    }
}
