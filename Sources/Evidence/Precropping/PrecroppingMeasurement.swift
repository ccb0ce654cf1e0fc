import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Synchronization

/// Networks that were made smaller before training in several ways, a chain of layers and a residual one.
package struct PrecroppingMeasurement: Sendable {
    /// The parts of the parameters that may stay.
    package static let budgets = [0.3, 0.1]

    package var networks: [PrecroppedNetwork]

    /// What was measured elsewhere.
    package init(_ networks: [PrecroppedNetwork]) { self.networks = networks }

    /// Trains each network of each seed, as it is and smaller in each way at each budget, on as many threads as there
    /// are.
    init(_ studies: [ImageStudy], seeds: [UInt64], progress: any ProgressReporter) throws {
        let studies = try studies.map { try PrecroppingStudy($0) }
        let starts = studies.flatMap { study in seeds.map { (study: study, seed: $0) } }
        progress.begin("dense networks and masks", total: starts.count, unit: "networks")
        let trials = try sideBySide(starts) { try PrecroppingTrial($0.study, seed: $0.seed) }
        progress.end("done")

        // Masks first: they take longest.
        let jobs = PrecroppedNetwork.Arm.allCases.flatMap { arm in
            Self.budgets.indices.flatMap { budget in
                trials.indices.filter { trials[$0].study.takes(arm) }.map { (arm: arm, budget: budget, trial: $0) }
            }
        }
        progress.begin("pruned networks", total: jobs.count, unit: "networks")
        let finished = Mutex(0)
        let runs = try sideBySide(jobs) { job in
            let trial = trials[job.trial]
            let run = try trial.run(job.arm, atBudget: job.budget)
            finished.withLock { count in
                count += 1
                progress.advance(
                    to: count,
                    note: "\(trial.study.images.architecture.name), \(job.arm.rawValue): "
                        + MarkupText.percent(run.accuracy))
            }
            return run
        }
        progress.end("done")

        networks = studies.enumerated().map { index, study in
            let places = seeds.indices.map { index * seeds.count + $0 }
            var network = PrecroppedNetwork(
                name: study.images.architecture.name, seeds: seeds,
                denseAccuracies: places.map { trials[$0].denseAccuracy },
                runs: zip(jobs, runs).filter { places.contains($0.0.trial) }.map { $0.1 },
                residuals: study.plans.map { $0.residual ?? .nan })
            network.parameterCount = study.plans.first?.before.parameters ?? 0
            network.widths = study.widths
            network.fact = study.fact
            network.denseLosses = places.first.map { trials[$0].denseLosses }
            return network
        }
    }
}

/// A network, what it is trained on, and the widths that the programme finds for it.
struct PrecroppingStudy: Sendable {
    let images: ImageStudy
    let structure: ChannelStructure
    /// By budget.
    let croppings: [PreCropping]
    let plans: [CropPlan<ChannelStructure>]

    init(_ images: ImageStudy) throws {
        self.images = images
        let structure = try ChannelStructure(images.architecture)
        self.structure = structure
        let all = Double(structure.parameterCount(structure.widths))
        croppings = PrecroppingMeasurement.budgets.map { PreCropping(parameters: Int($0 * all)) }
        plans = try croppings.map { try $0.plan(for: structure) }
    }

    /// Whether the network can be made smaller in a way.
    func takes(_ arm: PrecroppedNetwork.Arm) -> Bool {
        arm != .residualCrop || (try? ResidualSignal(structure)) != nil
    }

    func residualPlan(_ cropping: PreCropping) throws -> CropPlan<ChannelStructure> {
        var cropping = cropping
        cropping.proxy = .residual
        return try cropping.plan(for: structure)
    }

    /// The programme's widths with no more multiplications than one factor for all widths takes.
    func equallyCheapPlan(_ cropping: PreCropping) throws -> CropPlan<ChannelStructure> {
        var cropping = cropping
        cropping.multiplications = try cropping.plan(for: structure, densities: nil).after.multiplyAccumulates
        return try cropping.plan(for: structure)
    }

    var widths: [(name: String, full: Int, cropped: [Int])] {
        structure.names.indices.map { index in
            (structure.names[index], structure.widths[index], plans.map { $0.widths[index] })
        }
    }

    /// What is trained on what, by the network.
    var fact: ExperimentReport.Fact {
        let parameters = ExperimentReport.Fact("parameters", "\(images.architecture.parameterCount)")
        let facts = [parameters] + images.facts.dropFirst()
        return .init(
            images.architecture.description, facts.map { "\($0.name): \($0.value)" }.joined(separator: "; "))
    }
}
