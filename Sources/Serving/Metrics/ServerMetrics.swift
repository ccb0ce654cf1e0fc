import CoppiceInference
import Synchronization

/// What the server counts about itself, for `GET /metrics`.
final class ServerMetrics: Sendable {
    struct Answer: Sendable, Hashable {
        var method: String
        var route: String
        var status: Int
    }

    private struct ModelCounts: Sendable {
        var requests = 0
        var promptTokens = 0
        var generatedTokens = 0
        var cancelledRequests = 0
        var firstToken = Histogram(bounds: Histogram.firstTokenBounds)
        var nextToken = Histogram(bounds: Histogram.nextTokenBounds)
    }

    private struct State: Sendable {
        var answers: [Answer: Int] = [:]
        var durations = Histogram(bounds: Histogram.requestBounds)
        var inFlight = 0
        var models: [String: ModelCounts] = [:]
    }

    private let state = Mutex(State())

    /// Names every model from the start, so that its series exist before its first request.
    init(models: [String]) {
        state.withLock { state in
            for model in models { state.models[model] = ModelCounts() }
        }
    }

    private func update(_ model: String, _ change: (inout ModelCounts) -> Void) {
        state.withLock { change(&$0.models[model, default: ModelCounts()]) }
    }

    // MARK: HTTP

    /// A request under way. It counts as in flight until ``finish(_:)``, or until nobody holds it any more, as when
    /// a client goes away before its answer was begun.
    final class Flight: Sendable {
        private let metrics: ServerMetrics
        private let started = ContinuousClock.now
        private let isFinished = Atomic(false)

        fileprivate init(_ metrics: ServerMetrics) {
            self.metrics = metrics
            metrics.state.withLock { $0.inFlight += 1 }
        }

        deinit { finish(nil) }

        /// The time since the request's head was read.
        var duration: Duration { ContinuousClock.now - started }

        /// Counts the request with its answer. Only the first call counts.
        func finish(_ answer: Answer?) {
            guard !isFinished.exchange(true, ordering: .acquiringAndReleasing) else { return }
            metrics.state.withLock { state in
                state.inFlight -= 1
                guard let answer else { return }
                state.answers[answer, default: 0] += 1
                state.durations.observe(duration)
            }
        }
    }

    func takeOff() -> Flight { Flight(self) }

    // MARK: Tokens

    /// Records what one model does.
    struct Recorder: Sendable {
        fileprivate let metrics: ServerMetrics
        fileprivate let model: String

        func started(_ requests: [GenerationRequest]) {
            metrics.update(model) { counts in
                counts.requests += requests.count
                counts.promptTokens += requests.reduce(0) { $0 + $1.promptTokens.count }
            }
        }

        func cancelled() {
            metrics.update(model) { $0.cancelledRequests += 1 }
        }

        func timer() -> TokenTimer { TokenTimer(recorder: self) }
    }

    /// Times the tokens of one sequence: the first from the submission, each further one from the one before.
    struct TokenTimer: Sendable {
        fileprivate let recorder: Recorder
        private var previous = ContinuousClock.now
        private var hasBegun = false

        fileprivate init(recorder: Recorder) {
            self.recorder = recorder
        }

        mutating func token() {
            let now = ContinuousClock.now
            let elapsed = now - previous
            let isFirst = !hasBegun
            previous = now
            hasBegun = true
            recorder.metrics.update(recorder.model) { counts in
                counts.generatedTokens += 1
                if isFirst { counts.firstToken.observe(elapsed) } else { counts.nextToken.observe(elapsed) }
            }
        }
    }

    func recorder(model: String) -> Recorder { Recorder(metrics: self, model: model) }

    // MARK: The page

    /// The page for Prometheus; what only the engines know is asked of them.
    func page(engines: [any TextEngine], connections: Int) -> String {
        let state = state.withLock { $0 }
        var page = PrometheusText()
        page.metric("coppice_http_requests_total", "counter", "Requests answered, by route and status.")
        let answers = state.answers.sorted {
            ($0.key.route, $0.key.method, $0.key.status) < ($1.key.route, $1.key.method, $1.key.status)
        }
        for (answer, count) in answers {
            let labels = [("method", answer.method), ("route", answer.route), ("status", "\(answer.status)")]
            page.sample("coppice_http_requests_total", labels, count)
        }
        page.metric("coppice_http_request_duration_seconds", "histogram", "From a request's head to its answer's end.")
        page.samples("coppice_http_request_duration_seconds", [], state.durations)
        page.metric("coppice_http_requests_in_flight", "gauge", "Requests being answered.")
        page.sample("coppice_http_requests_in_flight", [], state.inFlight)
        page.metric("coppice_http_connections", "gauge", "Connections open.")
        page.sample("coppice_http_connections", [], connections)
        writeModels(state, to: &page)
        writeEngines(engines, to: &page)
        return page.text
    }

    private func writeModels(_ state: State, to page: inout PrometheusText) {
        let models = state.models.sorted { $0.key < $1.key }
        let counters: [(String, String, (ModelCounts) -> Int)] = [
            ("coppice_sequences_total", "Sequences submitted to the engine.", \.requests),
            (
                "coppice_sequences_cancelled_total", "Sequences whose client left or whose time ran out.",
                \.cancelledRequests
            ),
            ("coppice_prompt_tokens_total", "Prompt tokens submitted.", \.promptTokens),
            ("coppice_generated_tokens_total", "Tokens generated.", \.generatedTokens),
        ]
        for (name, help, count) in counters {
            page.metric(name, "counter", help)
            for (model, counts) in models { page.sample(name, [("model", model)], count(counts)) }
        }
        let histograms: [(String, String, (ModelCounts) -> Histogram)] = [
            ("coppice_time_to_first_token_seconds", "From a sequence's submission to its first token.", \.firstToken),
            ("coppice_time_per_output_token_seconds", "Between a sequence's tokens.", \.nextToken),
        ]
        for (name, help, histogram) in histograms {
            page.metric(name, "histogram", help)
            for (model, counts) in models { page.samples(name, [("model", model)], histogram(counts)) }
        }
    }

    private func writeEngines(_ engines: [any TextEngine], to page: inout PrometheusText) {
        let statistics = engines.map { ($0.modelName, $0.statistics()) }
        let readings: [(String, String, String, (EngineStatistics) -> Int)] = [
            ("coppice_sequences_running", "gauge", "Sequences being generated.", \.runningRequests),
            ("coppice_sequences_waiting", "gauge", "Sequences in the engine's queue.", \.waitingRequests),
            ("coppice_forward_passes_total", "counter", "Forward passes of the model.", \.forwardPasses),
            ("coppice_cache_tokens_used", "gauge", "Key-value cache positions in use.", \.cacheTokensUsed),
            ("coppice_cache_tokens_capacity", "gauge", "Key-value cache positions to be had.", \.cacheTokensCapacity),
            ("coppice_cache_bytes", "gauge", "Bytes of the key-value cache in use.", \.cacheBytes),
        ]
        for (name, type, help, value) in readings {
            page.metric(name, type, help)
            for (model, statistics) in statistics { page.sample(name, [("model", model)], value(statistics)) }
        }
    }
}
