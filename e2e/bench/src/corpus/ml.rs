//! Serving, training and queueing: custom resources that kustomize has no schema for, in the shapes that their documentation shows.

use e2e_oracle::Chance;

use super::{Corpus, Family, chance, kustomization};

/// The models, runs and queues. Each gives two targets.
pub(super) const PROJECTS: [&str; 16] = [
    "asr-large",
    "code-assist",
    "doc-layout",
    "embeddings",
    "fraud-gnn",
    "image-search",
    "llama-finetune",
    "moderation",
    "ocr",
    "pretrain-7b",
    "ranker",
    "rl-lab",
    "speech-tts",
    "translation",
    "vision-batch",
    "weather",
];

/// Adds all projects: serving, training or both, with their queue, and one overlay for a region with other accelerators.
pub(super) fn add(corpus: &mut Corpus) {
    for (index, name) in PROJECTS.into_iter().enumerate() {
        let mut dice = chance(name);
        let dir = format!("ml/{name}/base");
        let mut files = vec![("queue.yaml", queue(&mut dice, name))];
        match index % 4 {
            0 => files.push(("serving.yaml", serving(&mut dice, name))),
            1 => files.push(("ray.yaml", ray(&mut dice, name))),
            2 => files.push(("jobset.yaml", job_set(&mut dice, name))),
            _ => {
                files.push(("serving.yaml", serving(&mut dice, name)));
                files.push(("ray.yaml", ray(&mut dice, name)));
                files.push(("jobset.yaml", job_set(&mut dice, name)));
            }
        }
        let names: Vec<&str> = files.iter().map(|(file, _)| *file).collect();
        let more = format!("namespace: ml-{name}\nlabels:\n- pairs:\n    example.com/project: {name}\n");
        corpus.target(Family::Learning, dir.as_str(), kustomization(&names, &more));
        for (file, text) in files {
            corpus.file(format!("{dir}/{file}"), text);
        }
        corpus.target(Family::Learning, format!("ml/{name}/regions/us"), kustomization(&["../../base"], &region(&mut dice, name)));
    }
}

fn region(dice: &mut Chance, name: &str) -> String {
    format!(
        "nameSuffix: -us
commonLabels:
  topology.example.com/region: us
configurations: []
patches:
- target:
    group: kueue.x-k8s.io
    kind: ClusterQueue
  patch: |-
    - op: replace
      path: /spec/resourceGroups/0/flavors/0/resources/0/nominalQuota
      value: {}
- target:
    kind: (InferenceService|RayCluster|JobSet)
  patch: |-
    - op: add
      path: /metadata/annotations
      value:
        example.com/accelerator: \"h100\"
        example.com/project: {name}
",
        dice.between(8, 512)
    )
    .replace("configurations: []\n", "")
}

fn queue(dice: &mut Chance, name: &str) -> String {
    let gpus = dice.between(1, 64) * 8;
    format!(
        "apiVersion: kueue.x-k8s.io/v1beta1
kind: ResourceFlavor
metadata:
  name: {name}-a100
spec:
  nodeLabels:
    cloud.example.com/gke-accelerator: nvidia-a100-80gb
  tolerations:
  - key: nvidia.com/gpu
    operator: Exists
    effect: NoSchedule
---
apiVersion: kueue.x-k8s.io/v1beta1
kind: ClusterQueue
metadata:
  name: {name}
spec:
  cohort: research
  namespaceSelector: {{}}
  preemption:
    reclaimWithinCohort: Any
    borrowWithinCohort:
      policy: LowerPriority
      maxPriorityThreshold: 100
    withinClusterQueue: LowerPriority
  resourceGroups:
  - coveredResources: [\"nvidia.com/gpu\", \"cpu\", \"memory\"]
    flavors:
    - name: {name}-a100
      resources:
      - name: \"nvidia.com/gpu\"
        nominalQuota: {gpus}
        borrowingLimit: 16
      - name: \"cpu\"
        nominalQuota: {}
      - name: \"memory\"
        nominalQuota: {}Gi
---
apiVersion: kueue.x-k8s.io/v1beta1
kind: LocalQueue
metadata:
  name: {name}
spec:
  clusterQueue: {name}
",
        gpus * 12,
        gpus * 128
    )
}

fn serving(dice: &mut Chance, name: &str) -> String {
    format!(
        "apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {name}
  annotations:
    serving.kserve.io/deploymentMode: RawDeployment
    serving.kserve.io/autoscalerClass: hpa
  labels:
    kueue.x-k8s.io/queue-name: {name}
spec:
  predictor:
    minReplicas: {}
    maxReplicas: {}
    scaleMetric: cpu
    scaleTarget: 60
    model:
      modelFormat:
        name: huggingface
      protocolVersion: v2
      runtime: kserve-huggingfaceserver
      storageUri: s3://models/{name}/2024-11-{:02}
      args:
      - --model_name={name}
      - --backend=vllm
      - --max-model-len=8192
      - --gpu-memory-utilization=0.92
      env:
      - name: VLLM_ATTENTION_BACKEND
        value: FLASH_ATTN
      - name: HF_HUB_OFFLINE
        value: \"1\"
      resources:
        requests: {{cpu: \"8\", memory: 64Gi, nvidia.com/gpu: \"1\"}}
        limits: {{cpu: \"8\", memory: 64Gi, nvidia.com/gpu: \"1\"}}
    tolerations:
    - key: nvidia.com/gpu
      operator: Exists
      effect: NoSchedule
  transformer:
    containers:
    - name: kserve-container
      image: ghcr.io/example/{name}-transformer:1.4.0
      command: [python, -m, transformer]
      args: [--predictor_host, {name}-predictor]
",
        dice.below(3),
        dice.between(3, 40),
        dice.between(1, 28)
    )
}

fn ray(dice: &mut Chance, name: &str) -> String {
    let workers = dice.between(1, 5);
    let mut text = format!(
        "apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: {name}
  labels:
    kueue.x-k8s.io/queue-name: {name}
spec:
  rayVersion: 2.38.0 # has to fit the images
  enableInTreeAutoscaling: true
  autoscalerOptions:
    upscalingMode: Default
    idleTimeoutSeconds: 120
  headGroupSpec:
    rayStartParams:
      dashboard-host: '0.0.0.0'
      num-cpus: \"0\"
    template:
      spec:
        containers:
        - name: ray-head
          image: rayproject/ray-ml:2.38.0-gpu
          ports:
          - {{containerPort: 6379, name: gcs-server}}
          - {{containerPort: 8265, name: dashboard}}
          - {{containerPort: 10001, name: client}}
          lifecycle:
            preStop:
              exec:
                command: [\"/bin/sh\", \"-c\", \"ray stop\"]
          resources:
            limits: {{cpu: 4, memory: 16Gi}}
            requests: {{cpu: 4, memory: 16Gi}}
  workerGroupSpecs:
"
    );
    for worker in 0..workers {
        text.push_str(&format!(
            "  - groupName: group-{worker}
    replicas: {replicas}
    minReplicas: 0
    maxReplicas: 64
    rayStartParams: {{}}
    template:
      metadata:
        annotations:
          cluster-autoscaler.kubernetes.io/safe-to-evict: \"false\"
      spec:
        nodeSelector:
          cloud.example.com/gke-accelerator: nvidia-a100-80gb
        containers:
        - name: ray-worker
          image: rayproject/ray-ml:2.38.0-gpu
          env:
          - name: NCCL_DEBUG
            value: INFO
          - name: NCCL_SOCKET_IFNAME
            value: eth0
          resources:
            limits:
              nvidia.com/gpu: {gpus}
              memory: \"512Gi\"
          volumeMounts:
          - mountPath: /dev/shm
            name: shm
        volumes:
        - name: shm
          emptyDir: {{medium: Memory, sizeLimit: 64Gi}}
",
            replicas = dice.below(9),
            gpus = [1, 2, 4, 8][dice.below(4)],
        ));
    }
    text
}

fn job_set(dice: &mut Chance, name: &str) -> String {
    format!(
        "apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: {name}
  labels:
    kueue.x-k8s.io/queue-name: {name}
  annotations:
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.example.com/nodepool
spec:
  failurePolicy:
    maxRestarts: {}
    rules:
    - action: FailJobSet
      onJobFailureReasons: [PodFailurePolicy]
  network:
    enableDNSHostnames: true
  replicatedJobs:
  - name: workers
    replicas: {}
    template:
      spec:
        parallelism: 8
        completions: 8
        backoffLimit: 0
        completionMode: Indexed
        template:
          spec:
            restartPolicy: Never
            hostNetwork: true
            dnsPolicy: ClusterFirstWithHostNet
            containers:
            - name: train
              image: ghcr.io/example/{name}:{:x}
              command:
              - bash
              - -ceu
              - |
                export MASTER_ADDR={name}-workers-0-0.{name}
                torchrun --nnodes=\"$NNODES\" --nproc-per-node=8 \\
                  --rdzv-backend=c10d --rdzv-endpoint=\"$MASTER_ADDR:29500\" \\
                  train.py --config configs/{name}.yaml --lr 3e-4

                echo \"done: $(date)\"
              env:
              - name: NNODES
                value: \"16\"
              - name: LEARNING_RATE
                value: \"3e-4\"
              resources:
                limits: {{nvidia.com/gpu: 8, rdma/ib: 8}}
              volumeMounts:
              - {{name: checkpoints, mountPath: /checkpoints}}
            volumes:
            - name: checkpoints
              persistentVolumeClaim:
                claimName: {name}-checkpoints
",
        dice.below(20),
        dice.between(1, 32),
        dice.below(1 << 28)
    )
}
