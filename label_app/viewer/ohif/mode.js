// The OHIF mode "TAVR keypoints": one stack viewport, the study's series at the left, the keypoints at the right.

import { EXTENSION_ID } from './extension.js';
import { TOOL_NAME, registerTool } from './tool.js';

const DEFAULT = '@ohif/extension-default';
const CORNERSTONE = '@ohif/extension-cornerstone';
const TOOL_GROUP = 'default';

const tool = (id, icon, label) => ({
  id,
  uiType: 'ohif.radioGroup',
  props: {
    icon,
    label,
    tooltip: label,
    commands: { commandName: 'setToolActiveToolbar', commandOptions: { toolGroupIds: [TOOL_GROUP] } },
    evaluate: 'evaluate.cornerstoneTool',
  },
});
const action = (id, icon, label, commands, evaluate = 'evaluate.action') => ({
  id,
  uiType: 'ohif.radioGroup',
  props: { icon, label, tooltip: label, commands, evaluate },
});

const BUTTONS = [
  tool('WindowLevel', 'tool-window-level', 'Window level'),
  tool('Zoom', 'tool-zoom', 'Zoom'),
  tool('Pan', 'tool-move', 'Pan'),
  tool('StackScroll', 'tool-stack-scroll', 'Scroll through frames'),
  action('Cine', 'tool-cine', 'Play as cine', 'toggleCine', ['evaluate.cine']),
  action('Invert', 'tool-invert', 'Invert grey levels', 'invertViewport'),
  action('Reset', 'tool-reset', 'Reset view', 'resetViewport'),
];

const PANELS = {
  left: [`${DEFAULT}.panelModule.seriesList`],
  right: [`${EXTENSION_ID}.panelModule.keypoints`],
};

function onModeEnter({ servicesManager, extensionManager }) {
  const { toolbarService, toolGroupService, panelService } = servicesManager.services;
  // from one study to another OHIF adds the panels before it leaves the mode, which takes them away
  if (!panelService.getPanels('right').length) panelService.setPanels(PANELS);
  registerTool();
  const { toolNames, Enums } = extensionManager.getModuleEntry(`${CORNERSTONE}.utilityModule.tools`).exports;
  const button = Enums.MouseBindings;
  toolGroupService.createToolGroupAndAddTools(TOOL_GROUP, {
    active: [
      // a press on a point never reaches these: pointer.js keeps it
      { toolName: toolNames.WindowLevel, bindings: [{ mouseButton: button.Primary }] },
      { toolName: toolNames.Pan, bindings: [{ mouseButton: button.Auxiliary }] },
      { toolName: toolNames.Zoom, bindings: [{ mouseButton: button.Secondary }] },
      { toolName: toolNames.StackScroll, bindings: [{ mouseButton: button.Wheel }] },
    ],
    passive: [],
    enabled: [{ toolName: TOOL_NAME }],
    disabled: [],
  });
  toolbarService.addButtons(BUTTONS);
  toolbarService.createButtonSection('primary', BUTTONS.map(({ id }) => id));
}

function onModeExit({ servicesManager }) {
  const { toolGroupService, cornerstoneViewportService, uiDialogService, uiModalService } = servicesManager.services;
  uiDialogService.dismissAll?.();
  uiModalService.hide();
  toolGroupService.destroy();
  cornerstoneViewportService.destroy();
}

const layout = {
  id: `${DEFAULT}.layoutTemplateModule.viewerLayout`,
  props: {
    leftPanels: PANELS.left,
    rightPanels: PANELS.right,
    viewports: [
      {
        namespace: `${CORNERSTONE}.viewportModule.cornerstone`,
        displaySetsToDisplay: [`${DEFAULT}.sopClassHandlerModule.stack`],
      },
    ],
  },
};

const mode = {
  id: 'tavr',
  routeName: 'tavr',
  displayName: 'TAVR keypoints',
  onModeEnter,
  onModeExit,
  validationTags: { study: [], series: [] },
  isValidMode: ({ modalities }) => ({
    valid: modalities.split('\\').some(modality => modality === 'XA' || modality === 'RF'),
    description: 'For X-ray angiography (XA, RF)',
  }),
  routes: [{ path: 'tavr', layoutTemplate: () => layout }],
  extensions: { [DEFAULT]: '^3.0.0', [CORNERSTONE]: '^3.0.0' },
  hangingProtocol: 'default',
  sopClassHandlers: [`${DEFAULT}.sopClassHandlerModule.stack`],
  hotkeys: { name: 'tavr-hotkeys', hotkeys: [] }, // all keys are those of keys.js and picture-keys.js
};

export default { id: mode.id, modeFactory: () => mode, extensionDependencies: mode.extensions };
